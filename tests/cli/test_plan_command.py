"""``quantkit plan`` and ``quantkit quantize --plan`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.plan import read_plan
from tests.cli.shell import run
from tests.quantize.conftest import masked_convolutions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i, seconds in enumerate((0.5, 1.0)):
        noise = random.uniform(-0.3, 0.3, int(16_000 * seconds))
        soundfile.write(folder / f"{i}.wav", noise, 16_000)
    return folder


def test_budget_becomes_a_plan_and_the_plan_a_file_that_keeps_to_it(
    source, audio, tmp_path, capsys
) -> None:
    plan, result = tmp_path / "plan.json", tmp_path / "user.onnx"
    assert run("plan", source, "--budget", "180kB", "-o", plan) == 0
    assert "6 layers (6 × bitplane 5 bit); the file will take" in capsys.readouterr().out
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", result) == 0
    assert result.stat().st_size <= 180_000
    assert read_info(result).plan["budget_bytes"] == 180_000


def test_plan_edited_by_hand(source, audio, tmp_path, capsys) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", source, "--method", "manual", "--codec", "grouped:4", "-o", plan) == 0
    document = json.loads(plan.read_text())
    first = document["layers"][0]
    first |= {"codec": "float32", "bits": 32, "compute": "float32", "range": "none"}
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(document))
    sized = tmp_path / "sized.json"
    assert run("plan", source, "--from", edited, "-o", sized, "--json") == 0
    larger = read_plan(sized)
    assert larger.predicted_bytes > document["predicted_bytes"] + 20_000
    result = tmp_path / "q.onnx"
    assert run("quantize", source, "--plan", edited, "--audio", audio, "-o", result) == 0
    assert result.stat().st_size <= larger.predicted_bytes


def test_rules_for_some_layers(source, tmp_path, capsys) -> None:
    arguments = ["plan", source, "--method", "manual", "--compute", "dynamic", "--codec", "ternary"]
    arguments += ["--layer", "1=int8", "--layer", "-1=@float32", "--exclude", "2", "--json"]
    assert run(*arguments, "-o", tmp_path / "plan.json") == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [(row["codec"], row["compute"]) for row in layers] == [
        ("int8", "dynamic"),
        ("float32", "float32"),
        *[("ternary", "dynamic")] * 3,
        ("ternary", "float32"),
    ]


def test_target_runtime_is_kept(source, tmp_path, capsys) -> None:
    arguments = ["plan", source, "--method", "manual", "--codec", "native:4"]
    arguments += ["--target-runtime", "1.17", "-o", tmp_path / "plan.json"]
    assert run(*arguments) == 0
    plan = read_plan(tmp_path / "plan.json")
    assert (plan.target_runtime, plan.layers[0].codec) == ("1.17", "bitplane")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "10kB"], "impossible: with bitplane:1 for every layer"),
        (["--budget", "10"], "is no size; write for example 20MB"),
        (["--method", "manual", "--budget", "100kB"], "more than the budget of 100,000"),
        ([], "--method uniform needs a --budget"),
        (["--budget", "1MB", "--codec", "bitplane:4"], "give the codec's name only"),
        (["--method", "manual", "--codec", "zip:4"], "unknown codec 'zip'"),
        (["--method", "manual", "--layer", "99=int8"], "matches no layer"),
        (["--method", "manual", "--target-runtime", "0.9"], "too old"),
    ],
)
def test_wrong_input_gets_one_line_and_no_plan(
    arguments, message, source, tmp_path, capsys
) -> None:
    assert run("plan", source, *arguments, "-o", tmp_path / "plan.json") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "plan.json").exists()


def test_plan_for_another_model_is_refused(source, audio, tmp_path, capsys) -> None:
    plan, other = tmp_path / "plan.json", tmp_path / "other.onnx"
    assert run("plan", source, "--budget", "1MB", "-o", plan) == 0
    save_model(masked_convolutions(seed=5, width=4), other)
    assert run("quantize", other, "--plan", plan, "--audio", audio, "-o", tmp_path / "q.onnx") == 2
    assert "the plan is for the model with SHA-256" in capsys.readouterr().err
    assert run("quantize", source, "--plan", plan, "--codec", "int8", "-o", tmp_path / "q") == 2
    assert "--codec does not go with --plan" in capsys.readouterr().err


def test_plan_never_replaces_the_model(source, capsys) -> None:
    before = source.read_bytes()
    assert run("plan", source, "--budget", "1MB", "-o", source) == 2
    assert source.read_bytes() == before


def test_plan_that_was_edited_beyond_its_budget_writes_nothing(
    source, audio, tmp_path, capsys
) -> None:
    plan, result = tmp_path / "plan.json", tmp_path / "q.onnx"
    assert run("plan", source, "--budget", "180kB", "-o", plan) == 0
    document = json.loads(plan.read_text())
    document["layers"][1] |= {"codec": "int8", "bits": 8}
    plan.write_text(json.dumps(document))
    result.write_bytes(b"what was there")
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", result) == 2
    assert "more than the plan's budget of 180,000" in capsys.readouterr().err
    assert result.read_bytes() == b"what was there"

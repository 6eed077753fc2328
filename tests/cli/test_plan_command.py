"""``quantkit plan`` and ``quantkit quantize --plan`` from a shell's point of view."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.graph.artifact import read_info, save_model
from quantkit.graph.plan import read_plan
from quantkit.planning.latency import read_layer_times, write_layer_times
from quantkit.sensitivity.table import read_sensitivity, write_sensitivity
from tests.cli.shell import run
from tests.planning.synthetic import synthetic_sensitivity, synthetic_times
from tests.small_model import masked_convolutions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture
def sensitivity(source: Path, tmp_path: Path) -> Path:
    path = tmp_path / "sensitivity.json"
    write_sensitivity(synthetic_sensitivity(source), path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i, seconds in enumerate((0.5, 1.0)):
        noise = random.uniform(-0.3, 0.3, int(16_000 * seconds))
        # Its level changes, as that of speech does.
        noise *= np.linspace(0.2, 1.0, noise.size)
        soundfile.write(folder / f"{i}.wav", noise, 16_000)
    return folder


@pytest.mark.slow
def test_sensitivity_and_budget_become_the_optimal_plan(
    source, sensitivity, audio, tmp_path, capsys
) -> None:
    plan, result = tmp_path / "plan.json", tmp_path / "user.onnx"
    arguments = ["--budget", "120kB", "--sensitivity", sensitivity]
    assert run("plan", source, *arguments, "-o", plan) == 0
    said = capsys.readouterr().out
    assert "6 layers (" in said
    assert "predicted output divergence: " in said
    assert "measured" not in said
    assert read_plan(plan).method == "optimal"
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", result) == 0
    assert result.stat().st_size <= 120_000


@pytest.mark.slow
def test_audio_and_budget_become_a_plan_that_was_tried(source, audio, tmp_path, capsys) -> None:
    plan = tmp_path / "plan.json"
    arguments = ["--audio", audio, "--split", "all", "--budget", "130kB", "--json"]
    arguments += ["--candidate", "bitplane:2", "--candidate", "bitplane:4"]
    assert run("plan", source, *arguments, "-o", plan) == 0
    document = json.loads(capsys.readouterr().out)
    assert {row["bits"] for row in document["layers"]} == {2, 4}
    tried = document["divergence"]["rounds"]
    assert document["divergence"]["measured"] == min(each["measured"] for each in tried) > 0
    assert run("plan", source, *arguments, "--no-verify", "-o", plan) == 0
    untried = json.loads(capsys.readouterr().out)["divergence"]
    assert (untried["measured"], untried["interval"], untried["rounds"]) == (None, None, [])
    assert untried["predicted"] == pytest.approx(tried[0]["predicted"])


def test_kernels_are_kept_from_costly_grids_or_chosen_for_a_latency(
    source, sensitivity, tmp_path, capsys
) -> None:
    plan = tmp_path / "plan.json"
    arguments = [
        "--budget",
        "120kB",
        "--sensitivity",
        sensitivity,
        "--max-input-divergence",
        "1e-9",
    ]
    assert run("plan", source, *arguments, "-o", plan) == 0
    assert {row.compute for row in read_plan(plan).layers} == {"float32"}
    capsys.readouterr()
    assert run("plan", source, *arguments, "--max-latency", "0.5x", "-o", plan) == 2
    assert "--max-input-divergence does not go with --max-latency" in capsys.readouterr().err


@pytest.mark.slow
def test_front_of_what_is_possible(source, sensitivity, tmp_path) -> None:
    files = [tmp_path / f"front.{suffix}" for suffix in ("tsv", "md", "json", "svg", "png")]
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity]
    for file in files:
        arguments += ["--pareto", file]
    assert run("plan", source, *arguments, "-o", tmp_path / "plan.json") == 0
    assert all(file.stat().st_size > 0 for file in files)


@pytest.mark.slow
def test_latency_limit_chooses_kernels(source, sensitivity, tmp_path) -> None:
    times = tmp_path / "times.json"
    write_layer_times(synthetic_times(read_sensitivity(sensitivity)), times)
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "--times", times]
    plan = tmp_path / "plan.json"
    assert run("plan", source, *arguments, "--max-latency", "0.5x", "-o", plan) == 0
    measured = read_layer_times(times)
    assert measured.predicted(read_plan(plan)) <= 0.5 * measured.whole["float32"]
    assert {row.compute for row in read_plan(plan).layers} != {"static"}


@pytest.mark.slow
def test_times_that_others_disturbed_are_a_warning(source, sensitivity, tmp_path, capsys) -> None:
    times, plan = tmp_path / "times.json", tmp_path / "plan.json"
    arguments = ["plan", source, "--budget", "150kB", "--sensitivity", sensitivity]
    # As the table was made, which would be another warning.
    arguments += ["--target-cpu", "vnni"]
    arguments += ["--times", times, "--max-latency", "0.5x", "-o", plan]
    calm = synthetic_times(read_sensitivity(sensitivity))
    for share, said in [(0.95, ""), (0.6, "other programs took 40% of the processor")]:
        write_layer_times(replace(calm, processor_share=share), times)
        assert run(*arguments) == 0
        errors = capsys.readouterr().err
        assert said in errors
        assert errors.count("\n") == bool(said)


def test_times_of_another_model_are_refused(source, sensitivity, tmp_path, capsys) -> None:
    times, plan = tmp_path / "times.json", tmp_path / "plan.json"
    known = synthetic_times(read_sensitivity(sensitivity))
    write_layer_times(replace(known, model_sha256="ab" * 32), times)
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "--times", times, "-o", plan]
    assert run("plan", source, *arguments) == 2
    assert "the layer times are of the model with SHA-256" in capsys.readouterr().err
    assert not plan.exists()


@pytest.mark.slow
def test_times_are_measured_once(source, sensitivity, audio, tmp_path) -> None:
    times, plan = tmp_path / "times.json", tmp_path / "plan.json"
    arguments = ["plan", source, "--budget", "150kB", "--sensitivity", sensitivity, "--no-verify"]
    arguments += ["--max-latency", "10x", "--times", times, "-o", plan]
    assert run(*arguments, "--audio", audio) == 0
    written = times.read_text()
    assert run(*arguments) == 0
    assert times.read_text() == written


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("myqasr", ["--direction", "descending"]),
        ("reversed", []),
        ("shuffled", ["--seed", "3"]),
        ("linear", ["--metric", "variance"]),
    ],
)
def test_methods_of_others(method, options, source, audio, tmp_path) -> None:
    plan = tmp_path / "plan.json"
    arguments = ["--method", method, "--audio", audio, "--split", "all", "--budget", "180kB"]
    assert run("plan", source, *arguments, *options, "-o", plan) == 0
    made = read_plan(plan)
    assert made.method.startswith(method)
    assert made.predicted_bytes <= made.budget_bytes == 180_000


def test_size_that_is_counted_need_not_be_that_of_the_file(source, audio, tmp_path) -> None:
    plan = tmp_path / "plan.json"
    arguments = ["--method", "myqasr", "--audio", audio, "--split", "all", "--budget", "120kB"]
    assert run("plan", source, *arguments, "--size-count", "published", "-o", plan) == 0
    assert read_plan(plan).budget_bytes is None


@pytest.mark.slow
def test_budget_becomes_a_plan_and_the_plan_a_file_that_keeps_to_it(
    source, audio, tmp_path, capsys
) -> None:
    plan, result = tmp_path / "plan.json", tmp_path / "user.onnx"
    assert run("plan", source, "--method", "uniform", "--budget", "180kB", "-o", plan) == 0
    assert "6 layers (6 × bitplane 5 bit); the file will take" in capsys.readouterr().out
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", result) == 0
    assert result.stat().st_size <= 180_000
    assert read_info(result).plan["budget_bytes"] == 180_000


@pytest.mark.slow
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
        (
            ["--method", "uniform", "--budget", "10kB"],
            "impossible: with bitplane:1 for every layer",
        ),
        (["--budget", "10"], "is not a size; write for example 20MB"),
        (["--method", "manual", "--budget", "100kB"], "more than the budget of 100,000"),
        ([], "--method optimal needs a --budget"),
        (["--budget", "1MB"], "give --audio DIR with unlabelled clips, or --sensitivity FILE"),
        (["--method", "myqasr", "--budget", "1MB"], "--method uniform needs neither"),
        (["--budget", "1MB", "--verify"], "--verify needs --audio"),
        (["--budget", "1MB", "--seed", "3"], "--seed does not go with --method optimal"),
        (
            ["--method", "uniform", "--budget", "1MB", "--max-latency", "1ms"],
            "--max-latency does not go with --method uniform",
        ),
        (["--budget", "1MB", "--pareto", "front.xls"], "takes a name that ends in .tsv, .md"),
        (["--method", "uniform"], "--method uniform needs a --budget"),
        (["--method", "uniform", "--budget", "1MB", "--codec", "bitplane:4"], "give its name only"),
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--budget", "10kB"], "impossible: the smallest, with "),
        (["--budget", "1MB", "--candidate", "codebook:3"], "does not have codec codebook:3"),
        (["--budget", "1MB", "--max-latency", "1ms"], "give --audio DIR to measure them"),
        (["--budget", "1MB", "--codec", "grouped", "--candidate", "int8"], "give one of --codec"),
        (["--budget", "1MB", "--max-latency", "0"], "latency '0' is not a time"),
        (["--budget", "1MB", "--max-latency", "0ms"], "latency '0ms' must be above 0"),
    ],
)
def test_what_a_table_cannot_answer(
    arguments, message, source, sensitivity, tmp_path, capsys
) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", source, "--sensitivity", sensitivity, *arguments, "-o", plan) == 2
    assert message in capsys.readouterr().err
    assert not plan.exists()


def test_one_codec_at_the_widths_that_the_table_has(source, sensitivity, tmp_path) -> None:
    plan = tmp_path / "plan.json"
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "--codec", "grouped"]
    assert run("plan", source, *arguments, "-o", plan) == 0
    assert {row.codec for row in read_plan(plan).layers} <= {"grouped", "int8"}


@pytest.mark.slow
@pytest.mark.parametrize(("target", "told"), [("any", True), ("arm", False), ("vnni", False)])
def test_a_table_for_other_processors_is_told(
    target, told, source, sensitivity, tmp_path, capsys
) -> None:
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "--target-cpu", target]
    assert run("plan", source, *arguments, "-o", tmp_path / "plan.json") == 0
    error = capsys.readouterr().err
    # The table says nothing of processors, as those from before they were asked about.
    assert ("table was made for --target-cpu vnni, and the plan is for any" in error) == told


def test_sensitivity_of_another_model_is_refused(source, sensitivity, tmp_path, capsys) -> None:
    other = tmp_path / "other.onnx"
    save_model(masked_convolutions(seed=5, width=4), other)
    arguments = ["--budget", "1MB", "--sensitivity", sensitivity, "-o", tmp_path / "plan.json"]
    assert run("plan", other, *arguments) == 2
    error = capsys.readouterr().err
    assert "the sensitivity table is for the model with SHA-256" in error
    assert error.count("\n") == 1


def test_plan_for_another_model_is_refused(source, audio, tmp_path, capsys) -> None:
    plan, other = tmp_path / "plan.json", tmp_path / "other.onnx"
    assert run("plan", source, "--method", "uniform", "--budget", "1MB", "-o", plan) == 0
    save_model(masked_convolutions(seed=5, width=4), other)
    assert run("quantize", other, "--plan", plan, "--audio", audio, "-o", tmp_path / "q.onnx") == 2
    assert "the plan is for the model with SHA-256" in capsys.readouterr().err
    assert run("quantize", source, "--plan", plan, "--codec", "int8", "-o", tmp_path / "q") == 2
    assert "--codec does not go with --plan" in capsys.readouterr().err


def test_plan_never_replaces_the_model(source, capsys) -> None:
    before = source.read_bytes()
    assert run("plan", source, "--budget", "1MB", "-o", source) == 2
    assert source.read_bytes() == before


@pytest.mark.parametrize("option", ["--pareto", "--times"])
def test_other_results_replace_nothing_that_is_needed(
    option, source, sensitivity, tmp_path, capsys
) -> None:
    before, plan = sensitivity.read_bytes(), tmp_path / "plan.json"
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "-o", plan]
    assert run("plan", source, *arguments, option, sensitivity) == 2
    assert "is itself read by this command" in capsys.readouterr().err
    assert sensitivity.read_bytes() == before
    assert run("plan", source, *arguments, option, plan) == 2
    assert "is named for two results" in capsys.readouterr().err
    assert not plan.exists()


@pytest.mark.slow
def test_fronts_may_go_into_a_new_folder(source, sensitivity, tmp_path) -> None:
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "-o", tmp_path / "plan.json"]
    front = tmp_path / "new" / "folder" / "front.png"
    assert run("plan", source, *arguments, "--pareto", front) == 0
    assert front.stat().st_size > 0


def test_quantizing_never_replaces_the_plan(source, audio, tmp_path, capsys) -> None:
    plan = tmp_path / "plan.json"
    assert run("plan", source, "--method", "uniform", "--budget", "1MB", "-o", plan) == 0
    before = plan.read_bytes()
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", plan) == 2
    assert "is itself read by this command" in capsys.readouterr().err
    assert plan.read_bytes() == before


def test_clips_that_are_left_out_are_named(source, sensitivity, audio, tmp_path, capsys) -> None:
    folder = tmp_path / "audio"
    shutil.copytree(audio, folder)
    (folder / "broken.wav").write_bytes(b"RIFF????WAVE")
    arguments = ["--budget", "150kB", "--sensitivity", sensitivity, "--audio", folder]
    arguments += ["--no-verify", "-o", tmp_path / "plan.json"]
    assert run("plan", source, *arguments) == 0
    assert "left out 1 clip: " in capsys.readouterr().err


@pytest.mark.slow
def test_plan_that_was_edited_beyond_its_budget_writes_nothing(
    source, audio, tmp_path, capsys
) -> None:
    plan, result = tmp_path / "plan.json", tmp_path / "q.onnx"
    assert run("plan", source, "--method", "uniform", "--budget", "180kB", "-o", plan) == 0
    document = json.loads(plan.read_text())
    document["layers"][1] |= {"codec": "int8", "bits": 8}
    plan.write_text(json.dumps(document))
    result.write_bytes(b"what was there")
    assert run("quantize", source, "--plan", plan, "--audio", audio, "-o", result) == 2
    assert "more than the plan's budget of 180,000" in capsys.readouterr().err
    assert result.read_bytes() == b"what was there"

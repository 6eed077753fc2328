"""``quantkit explain`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.graph.artifact import save_model
from tests.cli.shell import run
from tests.cli.test_analyze_command import audio as audio
from tests.pages import assert_links_lead_somewhere, assert_self_contained
from tests.small_model import masked_convolutions


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, audio: Path) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    source, damaged = folder / "float32.onnx", folder / "damaged.onnx"
    save_model(masked_convolutions(), source)
    arguments = ["--preset", "static-int8", "--layer", "layer2.conv=ternary"]
    assert run("quantize", source, *arguments, "--audio", audio, "-o", damaged) == 0
    return source, damaged


def test_the_worst_layer_and_what_would_help_are_printed(files, audio, tmp_path, capsys) -> None:
    page = tmp_path / "why.html"
    assert run("explain", *files, "--audio", audio, "--report", page) == 0
    shown = capsys.readouterr().out
    assert "nats per frame on 3 clips" in shown
    layers = shown[shown.index("Layers") :]
    assert layers.index("layer2.conv") < layers.index("layer6.conv")
    assert "--layer 'layer2.conv=grouped:3'" in shown
    text = page.read_text()
    assert_self_contained(text)
    assert_links_lead_somewhere(text)
    assert "What each layer costs" in text


def test_json_is_for_programs(files, audio, capsys) -> None:
    assert run("explain", *files, "--audio", audio, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "quantkit.explanation/1"
    assert found["layers"][0]["name"] == "layer2.conv"
    assert found["layers"][0]["codec"] == "ternary"


def test_a_file_of_another_model_is_one_line(files, audio, tmp_path, capsys) -> None:
    other = tmp_path / "other.onnx"
    save_model(masked_convolutions(seed=3), other)
    assert run("explain", other, files[1], "--audio", audio) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert "was not made from" in errors[0]


def test_the_page_does_not_replace_an_input(files, audio, capsys) -> None:
    assert run("explain", *files, "--audio", audio, "--report", files[0]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert files[0].stat().st_size > 10_000


def test_slices_that_are_asked_for_and_sounds_that_are_added(files, audio, capsys) -> None:
    arguments = ["--by", "length:0.6,level", "--add", "noise:0dB", "--add", "gain:-40dB", "--json"]
    assert run("explain", *files, "--audio", audio, *arguments) == 0
    rows = json.loads(capsys.readouterr().out)["slices"]
    names = [(each["by"], each["value"], each["clips"]) for each in rows]
    assert names[0] == ("all", "", 3)
    assert {each for each in names if each[0] == "length"} == {
        ("length", "below 0.6 s", 1),
        ("length", "from 0.6 s", 2),
    }
    assert names[-2:] == [("sound", "noise:0dB", 3), ("sound", "gain:-40dB", 3)]
    clean, noisy = rows[0]["divergence"], rows[-2]["divergence"]
    assert noisy > 0.0
    assert noisy != clean


def test_a_slice_or_a_sound_that_there_is_not_is_one_line(files, audio, capsys) -> None:
    assert run("explain", *files, "--audio", audio, "--by", "dialect") == 2
    assert "no clip has the property 'dialect'" in capsys.readouterr().err
    assert run("explain", *files, "--audio", audio, "--add", "rain") == 2
    assert "nothing is called 'rain'; --add takes noise:10dB" in capsys.readouterr().err

"""``quantkit analyze`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.graph.artifact import save_model
from quantkit.sensitivity.metrics import METRICS
from quantkit.sensitivity.table import read_sensitivity
from tests.cli.shell import run
from tests.small_model import masked_convolutions

RATE = 16_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("QUANTKIT_CACHE", str(folder))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(masked_convolutions(), path)
    return path


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i, seconds in enumerate((0.5, 1.0, 0.8)):
        noise = random.uniform(-0.3, 0.3, int(RATE * seconds))
        soundfile.write(folder / f"{i}.wav", noise, RATE)
    return folder


def test_table_is_written_and_shown(source, audio, tmp_path, capsys) -> None:
    output = tmp_path / "sensitivity.json"
    arguments = ["--candidate", "bitplane:3", "--candidate", "bitplane:5"]
    assert run("analyze", source, "--audio", audio, *arguments, "-o", output) == 0
    shown, errors = capsys.readouterr()
    table = read_sensitivity(output)
    assert set(table.layers[0].metrics) == set(METRICS)
    assert [str(each.codec) for each in table.layers[0].weights] == ["bitplane:3", "bitplane:5"]
    for word in ("layer6.conv", "median", "sqnr", "hessian-trace", "bitplane:3", "bitplane:5"):
        assert word in shown
    assert f"{output}: 6 layers, from 3 clips of 2.2 s in all" in shown
    # No progress bar where nobody watches.
    assert errors == ""


def test_json_is_what_the_file_holds_and_the_second_run_gives_the_same(
    source, audio, cache, tmp_path, capsys
) -> None:
    arguments = ["--audio", audio, "--no-divergence", "--json"]
    assert run("analyze", source, *arguments, "-o", tmp_path / "one.json") == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == json.loads((tmp_path / "one.json").read_text())
    kept = {path: path.stat().st_ino for path in cache.rglob("*.json")}
    assert kept
    assert run("analyze", source, *arguments, "-o", tmp_path / "two.json") == 0
    assert capsys.readouterr().out == printed
    assert {path: path.stat().st_ino for path in cache.rglob("*.json")} == kept


def test_some_metrics_without_divergence(source, audio, tmp_path, capsys) -> None:
    arguments = ["--metric", "median", "--metric", "l2", "--no-divergence", "--clips", "2"]
    assert run("analyze", source, "--audio", audio, *arguments, "-o", tmp_path / "s.json") == 0
    table = read_sensitivity(tmp_path / "s.json")
    assert set(table.layers[0].metrics) == {"median", "l2"}
    assert (table.clips, table.layers[0].weights) == (2, ())
    assert "nats" not in capsys.readouterr().out


def test_cache_is_where_one_wants_it_or_nowhere(source, audio, cache, tmp_path, capsys) -> None:
    common = ["analyze", source, "--audio", audio, "--metric", "mean", "--no-divergence"]
    assert run(*common, "--no-cache", "-o", tmp_path / "s.json") == 0
    assert not cache.exists()
    assert run(*common, "--cache", tmp_path / "mine", "-o", tmp_path / "s.json") == 0
    assert list((tmp_path / "mine").rglob("*.json"))
    assert not cache.exists()


def test_cache_that_cannot_be_written_is_a_warning(source, audio, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("no folder")
    arguments = ["--audio", audio, "--metric", "mean", "--no-divergence", "-o", tmp_path / "s.json"]
    assert run("analyze", source, *arguments, "--cache", tmp_path / "file" / "cache") == 0
    errors = capsys.readouterr().err
    assert errors.count("going on without a cache") == 1
    assert (tmp_path / "s.json").exists()


def awkward(folder: Path) -> None:
    """Silence, a fifth of a second, speech-like noise that is clipped."""
    random = np.random.default_rng(0)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "short.wav", random.uniform(-0.3, 0.3, RATE // 5), RATE)
    soundfile.write(folder / "clipped.wav", np.clip(20 * random.standard_normal(RATE), -1, 1), RATE)


def test_awkward_audio_gives_finite_numbers_and_broken_files_are_named(
    source, tmp_path, capsys
) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    awkward(folder)
    (folder / "broken.wav").write_bytes(b"RIFFnoise")
    soundfile.write(folder / "blip.wav", np.zeros(100), RATE)
    output = tmp_path / "s.json"
    arguments = ["--audio", folder, "--candidate", "bitplane:3", "-o", output]
    assert run("analyze", source, *arguments) == 0
    errors = capsys.readouterr().err
    assert "left out 2 clips: " in errors
    assert "broken.wav" in errors
    table = read_sensitivity(output)
    assert table.clips == 3
    for layer in table.layers:
        assert all(np.isfinite(value) for value in layer.metrics.values())
        assert all(np.isfinite(each.divergence) for each in layer.weights)


@pytest.mark.parametrize("name", ["silent", "short", "clipped"])
def test_one_awkward_clip_alone_is_enough(name, source, tmp_path, capsys) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    awkward(folder)
    for path in folder.iterdir():
        if path.stem != name:
            path.unlink()
    output = tmp_path / "s.json"
    assert run("analyze", source, "--audio", folder, "--no-divergence", "-o", output) == 0
    table = read_sensitivity(output)
    assert table.clips == 1
    assert all(np.isfinite(v) for layer in table.layers for v in layer.metrics.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audio", "EMPTY"], "EMPTY"),
        (["--audio", "MISSING"], "MISSING"),
        (["--candidate", "zip:3"], "unknown codec 'zip'"),
        (["--reference", "float32"], "reference codec must quantize"),
        (["--metric", "mode"], "'mode' is not one of"),
        (["--speaker", "eva"], "speaker"),
        (["--cache", "x", "--no-cache"], "give one of --cache and --no-cache"),
        (["--candidate", "bitplane:3", "--no-divergence"], "--candidate says what to measure"),
    ],
)
def test_wrong_input_gets_one_line_and_no_table(
    arguments, message, source, audio, tmp_path, capsys
) -> None:
    (tmp_path / "EMPTY").mkdir()
    arguments = [str(tmp_path / a) if a in ("EMPTY", "MISSING") else a for a in arguments]
    if "--audio" not in arguments:
        arguments = ["--audio", audio, *arguments]
    assert run("analyze", source, *arguments, "-o", tmp_path / "s.json") == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "s.json").exists()


def test_model_is_never_replaced(source, audio, capsys) -> None:
    before = source.read_bytes()
    assert run("analyze", source, "--audio", audio, "-o", source) == 2
    assert "itself read by this command" in capsys.readouterr().err
    assert source.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_file_that_is_no_model(content, audio, tmp_path, capsys) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    assert run("analyze", path, "--audio", audio, "-o", tmp_path / "s.json") == 2
    errors = capsys.readouterr().err
    assert errors.startswith("quantkit: ")
    assert "x.onnx" in errors
    assert errors.count("\n") == 1


def test_help_shows_an_example(capsys) -> None:
    assert run("analyze", "--help") == 0
    assert "Example:\n    quantkit analyze " in capsys.readouterr().out

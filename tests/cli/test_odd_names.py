"""Files may be called anything: what is printed stays lines, and models need a name in UTF-8."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import quantkit.cli
from tests.api.small import write_corpus, write_model
from tests.cli.shell import run

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="needs a system where names are any bytes"
)

STEERING = "a\n\x1b[31mb"
NO_UTF8 = os.fsdecode(b"a\xff")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUANTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path)
    write_corpus(tmp_path / "corpus", {"calibration": 2, "test": 2})
    (tmp_path / "LICENCE").write_text("free")
    return tmp_path


@pytest.mark.slow
def test_what_is_printed_stays_lines(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("float32.onnx", f"{STEERING}.onnx")
    shutil.copytree("corpus", STEERING)
    for line in (
        ("inspect", f"{STEERING}.onnx"),
        ("quantize", f"{STEERING}.onnx", "--preset", "int8", "-o", f"{STEERING}2"),
        ("verify", f"{STEERING}2.onnx"),
        ("bench", f"{STEERING}.onnx", "--data", STEERING, "--report", f"{STEERING}3"),
        ("gate", f"{STEERING}3/bench.json", "--baseline", f"{STEERING}.json", "--update"),
        ("ship", f"{STEERING}.onnx", "--licence", "LICENCE", "-o", f"{STEERING}4"),
        ("verify", f"{STEERING}4"),
        ("transcribe", "float32.onnx", f"{STEERING}/00.wav", "corpus/00.wav"),
    ):
        assert run(*line) == 0
        said = "".join(capsys.readouterr())
        assert r"a\n\x1b[31mb" in said, line
        assert "\x1b[31m" not in said, line


def test_lines_that_name_something_are_printed_with_escapes() -> None:
    plain = {"__init__.py", "streams.py", "framework/command.py", "framework/output.py"}
    folder = Path(quantkit.cli.__file__).parent
    found = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if re.search(r"\bclick\.s?echo\(", path.read_text(encoding="utf-8"))
    }
    assert found == plain


@pytest.mark.parametrize(
    "line",
    [
        "inspect {}.onnx",
        "verify {}.onnx",
        "quantize {}.onnx --preset int8 -o made.onnx",
        "quantize float32.onnx --preset int8 -o {}2.onnx",
        "transcribe {}.onnx corpus/00.wav",
        "bench {}.onnx --data corpus",
        "ship {}.onnx --licence LICENCE -o made",
        "personalize float32.onnx --audio corpus --budget 40kB -o {}2.onnx",
    ],
)
def test_a_model_whose_name_is_no_utf8_is_refused_for_that(
    line: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("float32.onnx", f"{NO_UTF8}.onnx")
    before = sorted(place.iterdir())
    assert run(*line.format(*[NO_UTF8] * line.count("{}")).split()) == 2
    said = capsys.readouterr().err
    assert "a model must have a path in UTF-8" in said
    assert said.count("\n") == 1
    assert sorted(path for path in place.iterdir() if path.name != "cache") == before


def test_audio_and_reports_may_have_such_names(capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree("corpus", NO_UTF8)
    arguments = ("float32.onnx", "--preset", "static-int8", "--audio", NO_UTF8, "-o", "made.onnx")
    assert run("quantize", *arguments, "--json") == 0
    assert json.loads(capsys.readouterr().out)["path"] == "made.onnx"

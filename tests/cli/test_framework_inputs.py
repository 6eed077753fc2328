"""What is no file is refused before it is opened: nobody waits for a pipe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli import shell

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "pipe"),
        ("verify", "pipe"),
        ("export", "pipe", "-o", "out.onnx"),
        ("quantize", "pipe", "--preset", "int8", "-o", "out.onnx"),
        ("quantize", "x.onnx", "--plan", "pipe", "-o", "out.onnx"),
        ("quantize", "x.onnx", "--preset", "int8", "--audio", "pipe", "-o", "out.onnx"),
        ("quantize", "x.onnx", "--preset", "int8", "--config", "pipe", "-o", "out.onnx"),
        ("personalize", "x.onnx", "--audio", "pipe", "--budget", "1MB", "-o", "out.onnx"),
        ("analyze", "x.onnx", "--audio", "pipe", "-o", "out.json"),
        ("bench", "x.onnx", "--data", "pipe"),
        ("gate", "pipe", "--baseline", "pipe"),
        ("ship", "pipe", "-o", "bundle"),
        ("transcribe", "pipe", "clip.wav"),
        ("train", "pipe", "--data", ".", "-o", "run"),
    ],
)
def test_a_pipe_is_refused_in_one_line(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert shell.run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("quantkit: cannot read pipe: it is a pipe or device")
    assert error.count("\n") == 1

"""The command line as a whole: help that shows how, and bad input in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from quantkit.cli import group, main

_COMMANDS = group.list_commands(click.Context(group))


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_shows_an_example(name: str) -> None:
    result = CliRunner().invoke(group, [name, "--help"])
    assert result.exit_code == 0
    assert f"quantkit {name} " in result.output.split("Example:")[1]


def test_the_help_of_the_whole_shows_an_example() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert "Example:" in result.output
    assert all(name in result.output for name in _COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "nowhere", "-o", "out.onnx"],
        ["quantize", "nowhere.onnx", "--preset", "int8", "-o", "out.onnx"],
        ["bench", "nowhere.onnx", "--data", "nowhere", "--report", "report"],
        ["gate", "nowhere.json", "--baseline", "nowhere.json"],
        ["transcribe", "nowhere.onnx", "nowhere.wav"],
        ["inspect", "nowhere.onnx"],
        ["ship", "nowhere.onnx", "-o", "bundle"],
        ["verify", "nowhere"],
        ["train", "nowhere.toml", "--data", ".", "-o", "run"],
        ["train", "small", "--data", "corpus=nowhere", "-o", "run"],
    ],
)
def test_what_is_missing_is_named_in_one_line_with_exit_code_2(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    complaint = capsys.readouterr().err
    assert "nowhere" in complaint
    assert "Traceback" not in complaint
    assert complaint.count("\n") == 1
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.slow
def test_commands_that_need_no_pytorch_do_not_import_it() -> None:
    commands = [name for name in _COMMANDS if name not in ("export", "train")]
    program = "import sys, importlib\n" + "".join(
        f"importlib.import_module('quantkit.cli.{name}')\n" for name in commands
    )
    program += "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"

"""The command line as a whole: help that shows how, and bad input in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from quantkit.cli import group, main
from quantkit.cli.framework import Command
from quantkit.errors import InputError
from tests.api.small import write_model
from tests.cli.shell import run

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


def _with_body(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let ``quantkit verify`` raise ``error``."""

    @click.command(cls=Command)
    def body() -> None:
        raise error

    monkeypatch.setattr("quantkit.cli.verify.command", body)


@pytest.mark.parametrize("arguments", [["verify", "x" * 10_000], ["verify", "-" + "x" * 10_000]])
def test_a_name_that_is_too_long_is_shortened(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert len(capsys.readouterr().err) < 1500


def test_an_error_of_the_system_about_such_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_body(monkeypatch, OSError(36, "File name too long", "x" * 10_000))
    assert run("verify") == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("quantkit: [Errno 36] File name too long: 'xxx")
    assert len(complaint) < 1500


class TestInternalErrors:
    def test_they_are_one_line_and_no_traceback(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _with_body(monkeypatch, KeyError("conv\n1"))
        assert run("verify") == 70
        complaint = capsys.readouterr().err
        assert complaint.count("\n") == 1
        assert "internal error, KeyError: 'conv\\n1'" in complaint
        assert "--verbose" in complaint

    def test_verbose_shows_where(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _with_body(monkeypatch, KeyError("conv1"))
        assert run("verify", "--verbose") == 70
        assert "in body" in capsys.readouterr().err

    def test_bad_input_has_no_traceback_even_then(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _with_body(monkeypatch, InputError("no model"))
        assert run("verify", "--verbose") == 2
        assert capsys.readouterr().err == "quantkit: no model\n"

    def test_too_little_memory_is_one_line(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        _with_body(monkeypatch, MemoryError())
        assert run("verify") == 2
        assert capsys.readouterr().err == "quantkit: out of memory\n"


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = "from quantkit.cli import main; main(['export', '--help'])"
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "PIPE", "-o", "out.onnx"],
        ["export", "model.onnx", "--task", "ctc", "--labels", "PIPE", "-o", "out.onnx"],
        ["quantize", "PIPE", "--preset", "int8", "-o", "out.onnx"],
        ["quantize", "model.onnx", "--plan", "PIPE", "-o", "out.onnx"],
        ["quantize", "model.onnx", "--preset", "int8", "--audio", "PIPE", "-o", "out.onnx"],
        ["plan", "PIPE", "--budget", "1MB", "-o", "plan.json"],
        ["plan", "model.onnx", "--sensitivity", "PIPE", "--budget", "1MB", "-o", "plan.json"],
        ["bench", "PIPE", "--data", "PIPE", "--report", "report"],
        ["gate", "PIPE", "--baseline", "PIPE"],
        ["transcribe", "model.onnx", "clip.wav", "--language-model", "PIPE"],
        ["transcribe", "PIPE", "clip.wav"],
        ["inspect", "PIPE"],
        ["inspect", "model.onnx", "--config", "PIPE"],
        ["ship", "model.onnx", "--licence", "PIPE", "-o", "bundle"],
        ["ship", "model.onnx", "--about", "PIPE", "-o", "bundle"],
        ["verify", "PIPE"],
        ["train", "PIPE", "--data", ".", "-o", "run"],
    ],
)
def test_a_pipe_is_refused_and_never_waited_for(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.onnx")
    write_model(tmp_path).rename("model.onnx")
    assert run(*[each.replace("PIPE", "pipe.onnx") for each in arguments]) == 2
    complaint = capsys.readouterr().err
    assert "pipe.onnx" in complaint
    assert complaint.count("\n") == 1

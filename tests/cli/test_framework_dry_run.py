"""``--dry-run`` says what would happen, and nothing does."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import click
import pytest

from quantkit.cli import group
from quantkit.cli.framework import Command, OutputFile, OutputFolder
from tests.cli.toy import output_of, refused


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.onnx").write_bytes(b"before")
    return tmp_path


def test_it_names_what_would_be_read_done_and_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = output_of(
        "toy", "m.onnx", "-o", "small", "--report", "report", "--dry-run", capsys=capsys
    )
    assert text.splitlines() == [
        "would read   m.onnx",
        "would        do nothing",
        "would write  small.onnx (which is there and is replaced)",
        "would write  report/index.html",
        "dry run: nothing was written",
    ]
    assert [path.name for path in folder.iterdir()] == ["small.onnx"]
    assert Path("small.onnx").read_bytes() == b"before"


def test_a_file_that_is_there_and_read_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("toy", "m.onnx", "-o", "new.onnx", "--times", "times.json", "--dry-run")
    assert "would write  times.json" in output_of(*arguments, capsys=capsys)
    Path("times.json").write_text("{}")
    assert "would read   times.json" in output_of(*arguments, capsys=capsys)


def test_a_program_gets_json(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of("toy", "m.onnx", "-o", "new.onnx", "--json", "--dry-run", capsys=capsys)
    assert json.loads(text) == {
        "schema": "quantkit.dry-run/1",
        "command": "toy",
        "reads": ["m.onnx"],
        "steps": ["do nothing"],
        "writes": ["new.onnx"],
    }


def test_results_are_checked_all_the_same() -> None:
    assert "ends in .onnx" in refused("toy", "m.onnx", "-o", "small.bin", "--dry-run")


#: Commands whose results may go to a URL, and are no path for the parser.
AT_ADDRESSES = ("fleet", "push")


@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_that_writes_can_say_what_it_would_write(name: str) -> None:
    command = group.get_command(click.Context(group), name)
    assert isinstance(command, Command)
    writes = any(isinstance(param.type, OutputFile | OutputFolder) for param in command.params)
    writes |= name in AT_ADDRESSES
    assert any("--dry-run" in param.opts for param in command.params) == writes
    assert ("begin_work" in inspect.getsource(command.callback)) == writes  # type: ignore[arg-type]

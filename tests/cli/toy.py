"""A command as small as commands get, with every kind of parameter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from quantkit.cli.framework import (
    Argument,
    Command,
    NumberList,
    OutputFile,
    OutputFolder,
    begin_work,
)

#: What the body of the command was called with, the last call last.
CALLS: list[dict[str, Any]] = []


@click.group()
def toys() -> None:
    """A group."""


@toys.command(
    name="toy",
    cls=Command,
    first=("budget", "preset"),
    alternatives=[("preset", "compute")],
    dry_run=True,
    threads=True,
)
@click.argument("model", cls=Argument, type=click.Path(path_type=Path), help="What is read.")
@click.option("-o", "--output", type=OutputFile(".onnx"), required=True, help="What is written.")
@click.option("--plan", "plan_file", type=OutputFile(".json"))
@click.option("--front", "fronts", multiple=True, type=OutputFile(".tsv", ".png"))
@click.option("--times", type=OutputFile(".json", read_if_there=True))
@click.option("--report", type=OutputFolder("index.html"))
@click.option("--budget", help="Bytes.")
@click.option("--preset", type=click.Choice(["small", "large"]), default="small")
@click.option("--compute")
@click.option("--speaker", multiple=True)
@click.option("--rounds", type=click.IntRange(min=0), default=3)
@click.option("--share", type=float, default=0.5)
@click.option("--sizes", type=NumberList(1), default="1,8")
@click.option("--verify/--no-verify", default=None)
@click.option("--json", "as_json", is_flag=True)
def toy(**params: Any) -> None:
    """Do nothing.

    \b
    Example:
      quantkit toy a-model-of-some-name.onnx --preset small --budget 3MB -o a-result.onnx --json
    """
    begin_work("do nothing")
    CALLS.append(params)


def call(*arguments: object) -> dict[str, Any]:
    """The parameters that the body gets."""
    before = len(CALLS)
    status = toys.main([str(each) for each in arguments], "quantkit", standalone_mode=False)
    assert not status
    assert len(CALLS) == before + 1, "the body was not reached"
    return CALLS[-1]


def refused(*arguments: object) -> str:
    """Why the arguments are refused before the body is reached."""
    before = len(CALLS)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        toys.main([str(each) for each in arguments], "quantkit", standalone_mode=False)
    assert getattr(caught.value, "exit_code", None) == 2
    assert len(CALLS) == before
    message = getattr(caught.value, "format_message", lambda: str(caught.value))()
    return str(message)


def output_of(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed by arguments that end before the body."""
    before = len(CALLS)
    assert toys.main([str(each) for each in arguments], "quantkit", standalone_mode=False) == 0
    assert len(CALLS) == before
    return capsys.readouterr().out

"""``--dry-run``: what a command would read, do and write, and nothing of it done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from quantkit.cli.framework.output import echo
from quantkit.cli.framework.parameters import Argument, CacheFolder, OutputFile, OutputFolder
from quantkit.cli.framework.state import state
from quantkit.cli.streams import echo_json


def begin_work(*steps: str) -> None:
    """Stand between the checks of a command and its work; with ``--dry-run``, end it here.

    Args:
        steps: what follows, as "quantize 12 layers".

    Raises:
        click.exceptions.Exit: code 0, after everything was said.
    """
    ctx = click.get_current_context()
    if not state(ctx).dry_run:
        return
    reads, writes = paths_of(ctx)
    if ctx.params.get("as_json"):
        document = {
            "schema": "quantkit.dry-run/1",
            "command": ctx.command.name,
            "reads": [str(path) for path in reads],
            "steps": list(steps),
            "writes": [str(path) for path in writes],
        }
        echo_json(document)
    else:
        for path in reads:
            echo(f"would read   {path}")
        for step in steps:
            echo(f"would        {step}")
        for path in writes:
            replaces = " (which is there and is replaced)" if path.is_file() else ""
            echo(f"would write  {path}{replaces}")
        echo("dry run: nothing was written")
    ctx.exit(0)


def paths_of(ctx: click.Context) -> tuple[list[Path], list[Path]]:
    """What the command reads and what it writes, as far as its options name them."""
    reads: list[Path] = []
    writes: list[Path] = []
    for param in ctx.command.params:
        for path in paths_in(ctx.params.get(str(param.name))):
            if isinstance(param.type, OutputFile | OutputFolder):
                files = list(written(param.type, path, ctx.params))
                is_read = isinstance(param.type, OutputFile) and param.type.read_if_there
                (reads if is_read and path.exists() else writes).extend(files)
            elif is_input(param):
                reads.append(path)
    return reads, writes


def written(
    kind: OutputFile | OutputFolder, path: Path, params: Mapping[str, Any]
) -> Iterator[Path]:
    """The files that one option stands for, or its folder where they are not known."""
    if isinstance(kind, OutputFolder):
        files = kind.files
    else:
        files = tuple((kind.files_in_folder and kind.files_in_folder(params)) or ())
    if not files:
        yield path
    for name in files:
        yield path / name


def is_input(param: click.Parameter) -> bool:
    """Whether a parameter names something that the command reads."""
    if isinstance(param, Argument) and param.may_name_file:
        return True
    return isinstance(param.type, click.Path) and not isinstance(
        param.type, OutputFile | OutputFolder | CacheFolder
    )


def paths_in(value: Any) -> list[Path]:
    """The paths of a parameter's value, which may be one, several or none.

    Text is one where something of that name is there.
    """
    values = value if isinstance(value, tuple) else (value,)
    named = [Path(each) for each in values if isinstance(each, str) and Path(each).exists()]
    return [*named, *(each for each in values if isinstance(each, Path))]

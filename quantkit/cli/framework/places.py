"""The results of a command, given their full names and checked before the work begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from quantkit.cli.framework.dry_run import paths_of, written
from quantkit.cli.framework.parameters import OutputFile, OutputFolder
from quantkit.cli.framework.state import state
from quantkit.cli.outputs import check_outputs, check_place


def settle_outputs(ctx: click.Context) -> None:
    """Complete the names of results in ``ctx.params``, and refuse those that cannot be written.

    Raises:
        InputError: a suffix that the command does not write, a result that would replace an
            input, or two results in one place.
        OutputError: a place that cannot be written.
    """
    reads, writes = paths_of(ctx)
    # A model that a slip of the fingers names as the result is worth more than a suffix.
    check_outputs((path for path in writes if path.exists() and not path.is_dir()), reads)
    for param in ctx.command.params:
        value = ctx.params.get(str(param.name))
        if value is not None and isinstance(param.type, OutputFile | OutputFolder):
            ctx.params[str(param.name)] = _settled(ctx, param, param.type, value)
    reads, writes = paths_of(ctx)
    # A model may stand in the folder that its quantized versions are written into.
    check_outputs((path for path in writes if path in _named(ctx)), reads)


def _named(ctx: click.Context) -> set[Path]:
    values = (ctx.params.get(str(param.name)) for param in ctx.command.params)
    paths = (path for value in values for path in (value if isinstance(value, tuple) else [value]))
    return {path for path in paths if isinstance(path, Path)}


def _settled(
    ctx: click.Context, param: click.Parameter, kind: OutputFile | OutputFolder, value: Any
) -> Any:
    if isinstance(value, tuple):
        return tuple(_settled(ctx, param, kind, each) for each in value)
    path: Path = value
    in_folder = isinstance(kind, OutputFolder) or (
        kind.files_in_folder is not None and kind.files_in_folder(ctx.params) is not None
    )
    if in_folder:
        check_place(path, folder=True)
        for each in written(kind, path, ctx.params):
            if each != path:
                check_place(each)
        return path
    assert isinstance(kind, OutputFile)
    named = kind.named(path, param.opts[-1])
    if named != path and not state(ctx).quiet:
        click.echo(f"{param.opts[-1]} {path} has no suffix: writing {named}", err=True)
    check_place(named)
    return named

"""The results of a command, given their full names and checked before the work begins."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from quantkit.api.outputs import check_outputs, check_place
from quantkit.cli.framework.dry_run import is_input, paths_in, written
from quantkit.cli.framework.parameters import Argument, OutputFile, OutputFolder
from quantkit.cli.framework.state import state
from quantkit.errors import InputError
from quantkit.files import require_file
from quantkit.printable import printable


def settle_outputs(ctx: click.Context) -> None:
    """Complete the names of results in ``ctx.params``, and refuse those that cannot be written.

    Raises:
        InputError: a suffix that the command does not write, a result that would replace an
            input, or two results in one place.
        OutputError: a place that cannot be written.
    """
    # A model that a slip of the fingers names as the result is worth more than a suffix.
    whole = [path for path in _files(ctx) if path.suffix or path.exists()]
    check_outputs(whole, _inputs(ctx))
    for param in ctx.command.params:
        value = ctx.params.get(str(param.name))
        if value is not None and isinstance(param.type, OutputFile | OutputFolder):
            ctx.params[str(param.name)] = _settled(ctx, param, param.type, value)
    check_outputs(_files(ctx), _inputs(ctx))


def refuse_devices(ctx: click.Context) -> None:
    """Refuse what is neither file nor folder among the inputs in ``ctx.params``: it may never end.

    Raises:
        InputError: a pipe or a device.
    """
    for path in _inputs(ctx, required=True):
        try:
            require_file(path)
        except OSError as error:
            # What is not there is named where it is needed.
            if error.errno == errno.EINVAL:
                raise InputError(f"cannot read {printable(path)}: {error.strerror}") from error


def _inputs(ctx: click.Context, *, required: bool = False) -> list[Path]:
    """What the command reads; ``required``: and cannot do without."""
    return [
        path
        for param in ctx.command.params
        if is_input(param)
        and not (required and isinstance(param, Argument) and param.may_be_unreadable)
        for path in paths_in(ctx.params.get(str(param.name)))
    ]


def _files(ctx: click.Context) -> list[Path]:
    """The files to write that options name; a model may stand in a folder that they name."""
    return [
        path
        for param in ctx.command.params
        if isinstance(param.type, OutputFile) and not _names_folder(param.type, ctx)
        for path in paths_in(ctx.params.get(str(param.name)))
    ]


def _names_folder(kind: OutputFile | OutputFolder, ctx: click.Context) -> bool:
    if isinstance(kind, OutputFolder):
        return True
    return kind.files_in_folder is not None and kind.files_in_folder(ctx.params) is not None


def _settled(
    ctx: click.Context, param: click.Parameter, kind: OutputFile | OutputFolder, value: Any
) -> Any:
    if isinstance(value, tuple):
        return tuple(_settled(ctx, param, kind, each) for each in value)
    path: Path = value
    if isinstance(kind, OutputFolder) or _names_folder(kind, ctx):
        check_place(path, folder=True)
        for each in written(kind, path, ctx.params):
            if each != path:
                check_place(each)
        return path
    named = kind.named(path, param.opts[-1])
    if named != path and not state(ctx).quiet:
        click.echo(f"{param.opts[-1]} {path} has no suffix: writing {named}", err=True)
    check_place(named)
    return named

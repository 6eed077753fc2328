"""The results of a command, given their full names and checked before the work begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from quantkit.api.outputs import check_outputs, check_place
from quantkit.cli.framework.dry_run import is_input, paths_in, written
from quantkit.cli.framework.output import echo
from quantkit.cli.framework.parameters import OutputFile, OutputFolder
from quantkit.cli.framework.state import state
from quantkit.disk.reading import require_regular
from quantkit.errors import InputError
from quantkit.printable import printable


def settle_outputs(ctx: click.Context) -> None:
    """Complete the names of results in ``ctx.params``, and refuse those that cannot be written.

    Raises:
        InputError: an input that is a pipe or a device, a suffix that the command does not write,
            a result that would replace an input, or two results in one place.
        OutputError: a place that cannot be written.
    """
    for path in _inputs(ctx, lists=False):
        _refuse_special(path)
    # A model that a slip of the fingers names as the result is worth more than a suffix.
    whole = [path for path in _files(ctx) if path.suffix or path.exists()]
    check_outputs(whole, _inputs(ctx))
    for param in ctx.command.params:
        value = ctx.params.get(str(param.name))
        if value is not None and isinstance(param.type, OutputFile | OutputFolder):
            ctx.params[str(param.name)] = _settled(ctx, param, param.type, value)
    check_outputs(_files(ctx), _inputs(ctx))


def _inputs(ctx: click.Context, *, lists: bool = True) -> list[Path]:
    """What the command reads.

    Args:
        lists: also of arguments that take any number; one that is bad does not end such a run.
    """
    return [
        path
        for param in ctx.command.params
        if is_input(param) and (lists or param.nargs != -1)
        for path in paths_in(ctx.params.get(str(param.name)))
    ]


def _refuse_special(path: Path) -> None:
    """Refuse a pipe or device before anything opens it and waits; what is missing is named later.

    Raises:
        InputError: it is one.
    """
    try:
        require_regular(path, folder=True)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {printable(path)}: {reason}") from error


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
        echo(f"{param.opts[-1]} {path} has no suffix: writing {named}", err=True)
    check_place(named)
    return named

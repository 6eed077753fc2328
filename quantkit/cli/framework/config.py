"""Settings from a file: one table per command, one key per option.

::

    [quantize]
    preset = "static-int8"
    audio = "recordings"
    exclude = ["1", "layer9.*"]

Keys are the long names of options without the dashes. The file is read only when ``--config``
names it: what lies in the working folder never changes what a command does.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quantkit.cli.framework.toml import toml_value
from quantkit.disk.reading import parse_toml
from quantkit.errors import InputError
from quantkit.version import __version__

_NUMBERS = (click.types.IntParamType, click.types.FloatParamType)


def key_of(option: click.Option) -> str:
    """The key of an option: its long name without dashes."""
    return next(name for name in option.opts if name.startswith("--"))[2:]


def read_config(path: Path, ctx: click.Context, options: Iterable[click.Option]) -> dict[str, Any]:
    """The settings of ``path`` for the command of ``ctx``, by the names of its parameters.

    Values that equal an option's default are left out, so that what ``--dump-config`` printed
    does not count as said by the user.

    Raises:
        InputError: the file cannot be read, names a command or an option that does not exist, or
            gives an option a value of the wrong type.
    """
    try:
        tables = parse_toml(path)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    except RecursionError:
        raise InputError(f"{path} is not usable: it is nested too deeply") from None
    _require_commands(path, tables, ctx)
    command = str(ctx.command.name)
    known = {key_of(option): option for option in options}
    settings: dict[str, Any] = {}
    for key, value in tables.get(command, {}).items():
        where = f"{path}: {key} in [{command}]"
        if key not in known:
            raise InputError(f"{where} is no option of the command{_meant(key, known)}")
        option = known[key]
        checked = _checked(option, value, where)
        if checked not in (option.default, []):
            settings[str(option.name)] = checked
    return settings


def without_alternatives(
    settings: Mapping[str, Any], given: Collection[str], alternatives: Iterable[Sequence[str]]
) -> dict[str, Any]:
    """``settings`` without those that something on the command line stands in the place of.

    Args:
        settings: from a file, by names of parameters.
        given: names of the parameters that the command line gives.
        alternatives: groups of parameters of which a command takes one.
    """
    replaced = {name for group in alternatives if set(group) & set(given) for name in group} - set(
        given
    )
    return {name: value for name, value in settings.items() if name not in replaced}


def dumped(command: str, values: Iterable[tuple[click.Option, Any]], ctx: click.Context) -> str:
    """The table of a command as TOML; options that are not set stand in comments.

    Raises:
        InputError: a value that TOML cannot hold.
    """
    lines = [f"# quantkit {__version__}: quantkit {command} --config FILE", f"[{command}]"]
    for option, value in values:
        # click marks what is missing with a member of an enumeration of its own.
        if value is None or value == () or isinstance(value, enum.Enum):
            lines.append(f"# {key_of(option)} = {_example(option, ctx)}")
        else:
            lines.append(f"{key_of(option)} = {toml_value(value)}")
    return "\n".join(lines)


def _require_commands(path: Path, tables: Mapping[str, Any], ctx: click.Context) -> None:
    group = ctx.parent.command if ctx.parent is not None else None
    if not isinstance(group, click.Group) or ctx.parent is None:
        return
    commands = group.list_commands(ctx.parent)
    for name, table in tables.items():
        if name not in commands:
            raise InputError(f"{path}: {name} is no command{_meant(name, commands)}")
        if not isinstance(table, dict):
            raise InputError(f"{path}: {name} is a command; write its options below [{name}]")


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _checked(option: click.Option, value: Any, where: str) -> Any:
    """``value`` as click takes it.

    Raises:
        InputError: a type that the option does not take: click would turn it into text.
    """
    if option.multiple:
        values = value if isinstance(value, list) else [value]
        return [_single(option, each, where) for each in values]
    if isinstance(value, list) and getattr(option.type, "takes_arrays", False):
        return value
    return _single(option, value, where)


def _single(option: click.Option, value: Any, where: str) -> Any:
    if option.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{where} takes true or false, not {toml_or_repr(value)}")
        return value
    if isinstance(value, bool | list | dict):
        raise InputError(f"{where} takes one value, not {toml_or_repr(value)}")
    is_number = isinstance(value, int | float)
    if is_number != isinstance(option.type, _NUMBERS):
        kind = "text in quotes" if is_number else "a number"
        raise InputError(f"{where} takes {kind}, not {toml_or_repr(value)}")
    if isinstance(value, str) and "\0" in value:
        # The command line can hold none, and no file name.
        raise InputError(f"{where} holds a NUL: {toml_or_repr(value)}")
    return value


def toml_or_repr(value: Any) -> str:
    """``value`` as the file has it, for a message."""
    try:
        return toml_value(value)
    except (TypeError, InputError):
        return repr(value)


def _example(option: click.Option, ctx: click.Context) -> str:
    if option.is_flag:
        return "true"
    metavar = toml_value(option.make_metavar(ctx))
    return f"[{metavar}]" if option.multiple else metavar

"""``--help``: what is required, what most people need, and the rest under headings of their own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence

import click

from quantkit.cli.framework.parameters import Argument

_REQUIRED = "Required"
_FIRST = "Options"
_MORE = "More options"
_GENERAL = "General options"


def usage_pieces(ctx: click.Context, params: Iterable[click.Parameter]) -> list[str]:
    """Arguments and required options in the order of the declaration, then ``[OPTIONS]``."""
    pieces: list[str] = []
    for param in params:
        if isinstance(param, click.Argument):
            pieces += param.get_usage_pieces(ctx)
        elif isinstance(param, click.Option) and param.required:
            pieces.append(f"{param.opts[0]} {param.make_metavar(ctx)}")
    return [*pieces, "[OPTIONS]"]


def write_text(docstring: str | None, formatter: click.HelpFormatter) -> None:
    """Write a docstring; lines of an example that are too long go on in the next, as in a shell."""
    formatter.write_paragraph()
    with formatter.indentation():
        width = formatter.width - formatter.current_indent
        formatter.write_text(
            "\n".join(
                _broken(line, width) for line in inspect.cleandoc(docstring or "").splitlines()
            )
        )


def _broken(line: str, width: int) -> str:
    """A shell command over as many lines as it takes, broken before options."""
    if len(line) <= width or not line.startswith("  "):
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    first, *options = re.split(" (?=--?[a-z])", line)
    lines = [first]
    for option in options:
        # Two characters for the backslash and the space in front of it.
        if len(f"{lines[-1]} {option}") <= width - 2:
            lines[-1] += f" {option}"
        else:
            lines.append(indent + option)
    return " \\\n".join(lines)


def write_options(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    params: Sequence[click.Parameter],
    *,
    first: Sequence[str],
    one_of: Sequence[str],
    general: Sequence[click.Parameter],
) -> None:
    """Write the sections.

    Args:
        first: names of the parameters that most people need, in the order of the help.
        one_of: names of options of which one is required.
        general: options that every command has.
    """
    by_name = {param.name: param for param in params}
    required = [param for param in params if isinstance(param, Argument) or param.required]
    shown = [by_name[name] for name in first if by_name[name] not in required]
    rest = [
        param
        for param in params
        if param not in required and param not in shown and param not in general
    ]
    sections = {_REQUIRED: _records(ctx, required)}
    if one_of:
        names = " | ".join(by_name[name].opts[-1] for name in one_of)
        sections[_REQUIRED].append((names, "One of these; see below."))
    sections[_FIRST] = _records(ctx, shown)
    sections[_MORE] = _records(ctx, rest)
    if not shown:
        # Few options need no second heading.
        sections[_FIRST], sections[_MORE] = sections[_MORE], []
    sections[_GENERAL] = _records(ctx, general)
    for title, records in sections.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)


def _records(ctx: click.Context, params: Iterable[click.Parameter]) -> list[tuple[str, str]]:
    records = []
    for param in params:
        record = param.get_help_record(ctx)
        if record is not None:
            name, text = record
            # The heading says it.
            records.append((name, text.removesuffix("[required]").rstrip()))
    return records

"""Lines for people: whatever they name, they stay lines."""

from __future__ import annotations

import click

from quantkit.printable import printable


def echo(line: str, *, err: bool = False) -> None:
    """Print one line; names in it that hold control characters are shown with escapes.

    Args:
        err: on standard error.
    """
    click.echo(printable(line), err=err)

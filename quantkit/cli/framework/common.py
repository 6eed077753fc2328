"""The options that commands get without declaring them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from quantkit.cli.framework.state import State

#: Names of their parameters; none of them is an option of a settings file.
NAMES = ("config", "dump_config", "dry_run", "verbose", "quiet")


def general_options(*, dry_run: bool) -> list[click.Option]:
    """Fresh options for one command.

    Args:
        dry_run: whether it can say what it would do.
    """
    options = [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Settings (TOML); the command line wins over them.",
        ),
        click.Option(["--dump-config"], is_flag=True, help="Print the settings as TOML and exit."),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="Check the inputs, say what would be read, done and written, and exit.",
        ),
        click.Option(["-v", "--verbose"], count=True, help="Log what happens; -vv: everything."),
        click.Option(
            ["-q", "--quiet"], is_flag=True, help="No progress, and of the log only errors."
        ),
    ]
    return [option for option in options if dry_run or option.name != "dry_run"]


def threads_option() -> click.Option:
    """``--threads`` of the commands that compute with as many cores as there are."""
    return click.Option(
        ["--threads", "core_limit"],
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="N",
        help="Use at most this many cores; 0 takes all.",
    )


def take_state(params: dict[str, Any]) -> State:
    """What the options say, removed from ``params``.

    Raises:
        click.UsageError: ``--verbose`` and ``--quiet`` together.
    """
    taken = {name: params.pop(name, None) for name in (*NAMES, "core_limit")}
    if taken["verbose"] and taken["quiet"]:
        raise click.UsageError("give one of --verbose and --quiet")
    return State(
        verbosity=-1 if taken["quiet"] else taken["verbose"] or 0,
        dry_run=bool(taken["dry_run"]),
        threads=taken["core_limit"] or 0,
    )

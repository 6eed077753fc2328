"""What the options that every command has say about one run of it."""

from __future__ import annotations

from dataclasses import dataclass

import click


@dataclass(frozen=True)
class State:
    """Of one run of a command.

    Args:
        verbosity: 0 usual, 1 what happens, 2 everything; -1 errors only.
        dry_run: whether nothing may be written.
        threads: cores to use at most; 0 for all.
    """

    verbosity: int = 0
    dry_run: bool = False
    threads: int = 0

    @property
    def quiet(self) -> bool:
        """Whether progress is left out."""
        return self.verbosity < 0


def state(ctx: click.Context | None = None) -> State:
    """That of the command that runs; the usual one outside of commands."""
    ctx = ctx or click.get_current_context(silent=True)
    found = None if ctx is None else ctx.find_object(State)
    return found or State()

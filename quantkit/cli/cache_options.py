"""Where a command keeps what it measured."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.listening import Cache


def cache_choice(cache: Path | None, no_cache: bool) -> Cache:
    """What ``--cache`` and ``--no-cache`` say together.

    Raises:
        click.UsageError: both were given.
    """
    if cache is not None and no_cache:
        raise click.UsageError("give one of --cache and --no-cache")
    return cache or not no_cache

"""The place between the checks of a verb and its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

#: Is told in words what follows, once all inputs were checked; an exception that it raises ends the
#: verb before anything was done.
Begin: TypeAlias = Callable[[str], None]


def nothing(_steps: str) -> None:
    """Begin without further ado."""

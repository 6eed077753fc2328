"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Is told the stage of the work that is going on, and which share of it, from 0 to 1, is done.
Progress = Callable[[str, float], None]


def no_progress(stage: str, share: float) -> None:
    """A :data:`Progress` that shows nothing."""


def counted(progress: Progress, stage: str) -> Callable[[int, int], None]:
    """A function that is told how many of how many steps of ``stage`` are done.

    >>> counted(print, "recognising")(1, 4)
    recognising 0.25
    """
    return lambda done, total: progress(stage, done / total if total else 0.0)


def portion(progress: Progress, position: int, count: int) -> Progress:
    """Progress of number ``position``, from 0, of ``count`` like pieces of work, as that of all.

    >>> portion(print, 1, 4)("calibrating", 0.5)
    calibrating 0.375
    """
    return lambda stage, share: progress(stage, (position + share) / count)

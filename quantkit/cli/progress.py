"""How far long work is, on standard error: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from quantkit.cli.framework.output import echo
from quantkit.cli.framework.state import state
from quantkit.printable import printable

# A line at most this often, in seconds.
_LINE_SECONDS = 10.0
# And only when so much more is done, or after so long a silence: an analysis takes hours.
_LINE_SHARE = 0.1
_SILENCE_SECONDS = 60.0
# A tenth and two tenths are not three of them, in floating point.
_ROUNDING = 1e-9
# How often is looked whether a line is due.
_LOOK_SECONDS = 1.0


class Tell:
    """Is told what is going on, and which share of it is done."""

    def __call__(self, stage: str, share: float, note: str = "") -> None:
        """Say that ``share``, 0 to 1, of ``stage`` is done; ``note`` says how it goes."""

    def count(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say that ``done`` of ``total`` steps of ``stage`` are done."""
        self(stage, done / total if total else 0.0, f"{done}/{total} {note}".rstrip())


class ProgressLines(Tell):
    """Lines for a log file.

    Args:
        description: the stage before the first one is named.
        clock: seconds.
        write: takes a line.
    """

    def __init__(
        self,
        description: str,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] = lambda line: echo(line, err=True),
    ) -> None:
        self._stage, self._share, self._note = description, 0.0, ""
        self._clock, self._write = clock, write
        self._began = self._written_at = clock()
        self._written = (description, 0.0)

    def __call__(self, stage: str, share: float, note: str = "") -> None:
        self._stage, self._share, self._note = stage, share, note

    def look(self) -> None:
        """Write a line if one is due."""
        now, stage, share = self._clock(), self._stage, min(1.0, self._share)
        silence = now - self._written_at
        moved = stage != self._written[0] or share >= self._written[1] + _LINE_SHARE - _ROUNDING
        if silence < _LINE_SECONDS or (silence < _SILENCE_SECONDS and not moved):
            return
        done = f" {share:.0%}" if share else ""
        note = f" ({self._note})" if self._note else ""
        self._write(f"quantkit: {stage}{done}{note}, after {_duration(now - self._began)}")
        self._written_at, self._written = now, (stage, share)


class _Bar(Tell):
    def __init__(self, bar: Progress, description: str) -> None:
        self._bar, self._stage = bar, description
        self._task = bar.add_task(description, total=None)

    def __call__(self, stage: str, share: float, note: str = "") -> None:
        if stage != self._stage:
            # Another stage has a speed of its own.
            self._bar.reset(self._task)
            self._stage = stage
        self._bar.update(
            self._task,
            description=printable(f"{stage} {note}".rstrip()),
            completed=share,
            total=1.0,
        )


@contextmanager
def progress_bar(description: str) -> Iterator[Tell]:
    """Yield what is told how far the work is.

    With ``--quiet`` nothing is shown. Without a terminal, a line is written from a thread of its
    own, so that work that tells nothing for long does not look dead.

    Args:
        description: what goes on, until the first stage is named.
    """
    if state().quiet:
        yield Tell()
        return
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        columns = (
            # Notes name layers, which may be called anything.
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        # Results on standard output are for whoever reads them there.
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bar:
            yield _Bar(bar, description)
        return
    with _looking_at(lines := ProgressLines(description)):
        yield lines


@contextmanager
def _looking_at(lines: ProgressLines) -> Iterator[None]:
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            lines.look()

    thread = threading.Thread(target=look, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def warn(message: str) -> None:
    """Say on standard error what makes a result less sure."""
    echo(f"  warning: {message}", err=True)

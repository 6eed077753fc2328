"""A progress bar for work that says how far it is; none where nobody looks at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

#: Is told what is going on, and which share of it is done.
Tell = Callable[[str, float], None]


@contextmanager
def progress_bar(description: str) -> Iterator[Tell | None]:
    """Yield what moves the bar, or None where standard error is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(description, total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)

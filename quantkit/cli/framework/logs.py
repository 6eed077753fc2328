"""``--verbose``: what the library logs, on standard error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from quantkit.cli.framework.output import echo

_LEVELS = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}


class _ToStandardError(logging.Handler):
    """Asks for standard error with each line: a progress bar puts itself in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        # What failed is shown with its lines; what a record says is one.
        for line in self.format(record).splitlines() or [""]:
            echo(line, err=True)


@contextmanager
def logging_to_stderr(verbosity: int) -> Iterator[None]:
    """Show what the logger ``quantkit`` is told, from a level on.

    Args:
        verbosity: -1 errors, 0 warnings, 1 what happens (INFO), 2 everything (DEBUG).
    """
    logger = logging.getLogger("quantkit")
    handler = _ToStandardError()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[max(-1, min(verbosity, 2))])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)

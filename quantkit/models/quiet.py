"""Without the remarks of ``transformers``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import logging as transformers_logging


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress warnings and progress of transformers; problems that matter are errors here."""
    remarks: Any = transformers_logging
    level, shows_progress = remarks.get_verbosity(), remarks.is_progress_bar_enabled()
    remarks.set_verbosity(remarks.CRITICAL)
    remarks.disable_progress_bar()
    try:
        yield
    finally:
        remarks.set_verbosity(level)
        if shows_progress:
            remarks.enable_progress_bar()

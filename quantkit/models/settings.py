"""Values of a model's JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.errors import CheckpointError


def count_of(settings: Mapping[str, Any], key: str, default: int, origin: Path) -> int:
    """A positive whole number.

    Args:
        settings: content of ``origin``.
        default: where there is none.

    Raises:
        CheckpointError: it is something else.
    """
    value = settings.get(key, default)
    if type(value) is not int or value < 1:
        raise CheckpointError(f"{origin}: {key} must be a positive whole number, not {value!r}")
    return value

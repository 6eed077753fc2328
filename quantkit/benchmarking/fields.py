"""Reading a JSON object field by field, with errors that name the file and the field."""

from __future__ import annotations

import math
from typing import Any

from quantkit.errors import FormatError

MIN_RATIO = 1e-9  # a speed-up must be positive: it is divided by and its logarithm is taken


class Fields:
    """A JSON object whose fields are read with a type check that says where it failed."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise FormatError(f"{where} is not a JSON object")
        self._content: dict[str, Any] = content
        self.where = where

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._content.get(key) is not None

    def keys(self) -> set[str]:
        """Names of all fields."""
        return set(self._content)

    def child(self, key: str) -> Fields:
        """A nested object."""
        return Fields(self._get(key), f"{self.where}: {key!r}")

    def children(self, key: str) -> list[Fields]:
        """A list of objects."""
        items = self._get(key)
        if not isinstance(items, list):
            raise FormatError(f"{self.where}: {key!r} is not a list")
        return [Fields(item, f"{self.where}: {key}[{i}]") for i, item in enumerate(items)]

    def text(self, key: str, default: str | None = None) -> str:
        """A string."""
        if default is not None and not self.has(key):
            return default
        value = self._get(key)
        if not isinstance(value, str):
            raise FormatError(f"{self.where}: {key!r} is not a string")
        return value

    def flag(self, key: str) -> bool:
        """A boolean."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise FormatError(f"{self.where}: {key!r} is neither true nor false")
        return value

    def number(self, key: str, default: float | None = None, minimum: float = -math.inf) -> float:
        """A finite number that is at least ``minimum``."""
        if default is not None and not self.has(key):
            return default
        return _number(self._get(key), f"{self.where}: {key!r}", minimum)

    def interval(self, key: str) -> tuple[float, float] | None:
        """A pair ``[low, high]`` of positive numbers, or ``None`` when the field is missing."""
        if not self.has(key):
            return None
        pair = self._get(key)
        where = f"{self.where}: {key!r}"
        if not isinstance(pair, list) or len(pair) != 2:
            raise FormatError(f"{where} is not a pair [low, high]")
        low, high = (_number(value, where, minimum=MIN_RATIO) for value in pair)
        if low > high:
            raise FormatError(f"{where} ends before it begins")
        return low, high

    def numbers(self, key: str) -> dict[str, float]:
        """An object whose values are numbers that are at least 0."""
        fields = self.child(key)
        return {
            name: _number(value, f"{fields.where}: {name!r}", minimum=0)
            for name, value in fields._content.items()
        }

    def _get(self, key: str) -> Any:
        if not self.has(key):
            raise FormatError(f"{self.where} lacks {key!r}")
        return self._content[key]


def _number(value: Any, where: str, minimum: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FormatError(f"{where} is not a finite number")
    if value < minimum:
        raise FormatError(f"{where} is {value}, less than {minimum:g}")
    return float(value)

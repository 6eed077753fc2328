"""Budgets as people write them."""

from __future__ import annotations

import re

from quantkit.errors import InputError

_UNITS = {
    "B": 1,
    "KB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KIB": 1 << 10,
    "MIB": 1 << 20,
    "GIB": 1 << 30,
}
_BUDGET = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]+)\s*")


def parse_budget(text: str) -> int:
    """Bytes of ``20MB``, ``19.5MiB`` or ``123456B``; 1 MB is 1,000,000 bytes.

    >>> parse_budget("19.5MiB")
    20447232

    Raises:
        InputError: no number, no unit, or nothing at all.
    """
    match = _BUDGET.fullmatch(text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise InputError(f"budget {text!r} is no size; write for example 20MB, 19.5MiB or 123456B")
    size = int(float(match[1]) * unit)
    if size < 1:
        raise InputError(f"budget {text!r} is less than one byte")
    return size

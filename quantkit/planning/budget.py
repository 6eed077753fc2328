"""Parsing of budgets in bytes and in time."""

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
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]+)\s*")
_MILLISECONDS = {"MS": 1.0, "S": 1000.0}


def parse_budget(text: str) -> int:
    """Bytes of ``20MB``, ``19.5MiB`` or ``123456B``; 1 MB is 1,000,000 bytes.

    >>> parse_budget("19.5MiB")
    20447232

    Raises:
        InputError: no number, no unit, or zero bytes.
    """
    match = _AMOUNT.fullmatch(text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise InputError(
            f"budget {text!r} is not a size; write for example 20MB, 19.5MiB or 123456B"
        )
    size = int(float(match[1]) * unit)
    if size < 1:
        raise InputError(f"budget {text!r} is less than one byte")
    return size


def generous_budget(budget_bytes: int, float_bytes: int) -> tuple[str, ...]:
    """What to say of a budget that the float32 model itself keeps to, in a sentence.

    >>> generous_budget(1_000, 2_000)
    ()
    """
    if budget_bytes < float_bytes:
        return ()
    return (
        f"The float32 model itself takes {float_bytes:,} bytes, so it fits into the budget of "
        f"{budget_bytes:,}: to fit, nothing has to be quantized.",
    )


def parse_latency(text: str, float32_ms: float) -> float:
    """Milliseconds of ``30ms``, ``0.5s`` or ``0.4x`` (a multiple of the float32 latency).

    >>> parse_latency("0.4x", 100.0)
    40.0

    Args:
        float32_ms: latency of the float32 model.

    Raises:
        InputError: no number, no unit, or zero time.
    """
    match = _AMOUNT.fullmatch(text)
    unit = {"X": float32_ms, **_MILLISECONDS}.get(match[2].upper()) if match else None
    if match is None or unit is None:
        raise InputError(
            f"latency {text!r} is not a time; write for example 30ms, or 0.4x of float32's"
        )
    limit = float(match[1]) * unit
    if not limit > 0:
        raise InputError(f"latency {text!r} must be above 0")
    return limit

"""Formatting of figures and names; the same in the terminal, in Markdown and on the page."""

from __future__ import annotations

#: Low and high end of a confidence interval.
Interval = tuple[float, float]

MISSING = "–"
_MEGABYTE = 1_000_000


def megabytes(count: float) -> str:
    """Bytes in units of 1,000,000: ``94.5``, ``0.13``."""
    return significant(count / _MEGABYTE)


def significant(value: float | None, digits: int = 3) -> str:
    """At least ``digits`` significant digits, without exponents: ``0.0123``, ``4.50``, ``1234``.

    >>> [significant(x) for x in (1234.5, 94.47, 4.5, 0.012345, 0.0)]
    ['1234', '94.5', '4.50', '0.0123', '0']
    """
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    decimals, size = digits - 1, abs(value)
    while size >= 10 and decimals > 0:
        size, decimals = size / 10, decimals - 1
    while size < 1:
        size, decimals = size * 10, decimals + 1
    return f"{value:.{decimals}f}"


def estimate(value: float | None, interval: Interval | None) -> str:
    """A mean and, if known, its confidence interval: ``0.0018 [0.0009, 0.0031]``."""
    if interval is None:
        return significant(value)
    return f"{significant(value)} [{significant(interval[0])}, {significant(interval[1])}]"


def percent(share: float | None) -> str:
    """A share in percent with one decimal."""
    return MISSING if share is None else f"{100 * share:.1f}"


def percent_interval(interval: Interval | None) -> str:
    """A confidence interval of shares, in percent."""
    return "" if interval is None else f"[{percent(interval[0])}, {percent(interval[1])}]"


def decimal(value: float | None, digits: int = 2) -> str:
    """A fixed number of decimals."""
    return MISSING if value is None else f"{value:.{digits}f}"


def decimal_interval(interval: Interval | None, digits: int = 2) -> str:
    """A confidence interval."""
    return "" if interval is None else f"[{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"


def signed(value: float | None, digits: int = 2) -> str:
    """A difference, with a true minus sign and no sign on zero."""
    if value is None:
        return MISSING
    text = f"{value:+.{digits}f}"
    return f"{0:.{digits}f}" if float(text) == 0 else text.replace("-", "−")


def times(ratio: float) -> str:
    """A ratio such as a speed-up: ``3.85×``."""
    return f"{ratio:.2f}×"


def duration(seconds: float) -> str:
    """``48 s`` or ``6 min 38 s``."""
    whole = round(seconds)
    if whole < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    return f"{whole // 60} min {whole % 60} s"


def moment(iso: str) -> str:
    """``2026-11-21 06:15 UTC`` from ISO 8601 in UTC."""
    return f"{iso[:10]} {iso[11:16]} UTC"


def shortened(text: str, length: int) -> str:
    """``text`` with its middle left out if it is longer than ``length``.

    >>> shortened("/encoder/layers.0/attention/k_proj/MatMul", 24)
    '/encoder/la…_proj/MatMul'
    """
    if len(text) <= length:
        return text
    head = length // 2 - 1
    return f"{text[:head]}…{text[head + 1 - length :]}"

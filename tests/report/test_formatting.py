"""Figures as people read them."""

from __future__ import annotations

from quantkit.report.formatting import (
    decimal,
    duration,
    megabytes,
    percent,
    shortened,
    signed,
    significant,
)


def test_figures_are_written_for_people() -> None:
    assert [megabytes(n) for n in (94_474_140, 5_648_850, 1_200)] == ["94.5", "5.65", "0.00120"]
    assert significant(None) == "–"
    assert significant(-0.0) == "0"
    assert (percent(0.1234), percent(None)) == ("12.3", "–")
    assert (signed(-0.001), signed(0.5), signed(-2.0, 1)) == ("0.00", "+0.50", "−2.0")
    assert (decimal(1.005, 1), decimal(None)) == ("1.0", "–")
    assert [duration(s) for s in (3.66, 48.2, 398.0)] == ["3.7 s", "48 s", "6 min 38 s"]


def test_long_names_keep_their_ends() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("abcdefghij", 5) == "a…hij"

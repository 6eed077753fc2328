"""Budgets of bytes and of time as people write them."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.planning.budget import parse_budget, parse_latency


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20MB", 20_000_000),
        ("19.5MiB", 20_447_232),
        ("123456B", 123_456),
        (" 1.5 gb ", 1_500_000_000),
        ("800kB", 800_000),
        (".5KiB", 512),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_budget(text) == size


@pytest.mark.parametrize("text", ["", "20", "MB", "-3MB", "20 megabytes", "1e3B", "0B", "0.1B"])
def test_what_is_no_size_is_named(text: str) -> None:
    with pytest.raises(InputError, match="budget"):
        parse_budget(text)


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("30ms", 30.0), ("0.5s", 500.0), ("0.4x", 80.0), (" 1.5 X ", 300.0)]
)
def test_times(text: str, milliseconds: float) -> None:
    assert parse_latency(text, float32_ms=200.0) == pytest.approx(milliseconds)


@pytest.mark.parametrize("text", ["", "30", "x", "-3ms", "30MB", "0ms", "0x"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(InputError, match=f"latency {text!r}"):
        parse_latency(text, float32_ms=200.0)

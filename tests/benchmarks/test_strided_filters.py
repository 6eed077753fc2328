"""Fast FIR for strided convolutions: that what is timed is the convolution."""

from __future__ import annotations

from benchmarks.strided_filters import largest_error


def test_the_five_products_give_the_convolution() -> None:
    assert largest_error(64) < 1e-6

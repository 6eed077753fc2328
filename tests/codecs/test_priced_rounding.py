"""Rounding by error and bits."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.codecs import priced_rounding
from quantkit.codecs.base import Weight
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.priced_rounding import PricedGrid, round_priced

RINGS = ((8, 1), (16, 2), (64, 4))


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def entropy_bits(levels: np.ndarray) -> int:
    shares = np.unique(levels, return_counts=True)[1] / levels.size
    return round(-levels.size * float((shares * np.log2(shares)).sum()))


def grid(price: float, lengths: list[float]) -> PricedGrid:
    made = PricedGrid(np.ones(1, np.float32), RINGS, np.array(lengths, np.float32), price, {})
    made.weigh(slice(0, 1), np.ones(1, np.float32))
    return made


def nearest(of: PricedGrid, ratio: float) -> float:
    return float(of.nearest(slice(0, 1), 0, np.array([ratio], np.float32))[0])


def test_a_price_of_nothing_gives_the_nearest_level():
    free = grid(0.0, [1.0] * 65)
    assert [nearest(free, ratio) for ratio in (0.4, 0.6, -1.7, 8.3)] == [0, 1, -2, 8]


def test_levels_lie_wider_further_out():
    free = grid(0.0, [1.0] * 65)
    assert [nearest(free, ratio) for ratio in (9.5, 15.2, 17.0, 33.0, 99.0)] == [10, 16, 16, 32, 64]


def test_a_level_that_saves_bits_is_taken_although_it_is_further_away():
    lengths = [1.0, 3.0, *[6.0] * 63]
    # From 1 to 0 saves two bits: worth 0.2 at this price, which is what 0.6 costs more there.
    assert nearest(grid(0.11, lengths), 0.6) == 0
    assert nearest(grid(0.09, lengths), 0.6) == 1
    assert nearest(grid(0.11, lengths), -0.6) == 0


def test_an_important_column_is_rounded_more_closely():
    made = grid(0.11, [1.0, 3.0, *[6.0] * 63])
    made.weigh(slice(0, 1), np.array([10.0], np.float32))
    assert nearest(made, 0.6) == 1


@pytest.mark.parametrize("compensated", [False, True])
@pytest.mark.parametrize("bits", [1.2, 2.5, 4.0])
def test_codes_fill_what_they_may_take(bits, compensated):
    values = normal((64, 256))
    rows = normal((600, 256), 1)
    moments = SecondMoments((rows.T @ rows / 600).astype(np.float32)) if compensated else None
    most = round(bits * values.size)
    found = round_priced(Weight(values, 0, second_moments=moments), entropy_bits, most, RINGS)
    assert 0.98 * most < entropy_bits(found.levels) <= most


@pytest.mark.parametrize("spread", [0.1, 1.0, 2.0])
def test_steps_of_channels_are_in_the_best_proportion(spread, monkeypatch):
    loudness = np.exp(spread * normal((64, 1), 2))
    values = (normal((64, 500)) * loudness).astype(np.float32)

    def error() -> float:
        found = round_priced(Weight(values, 0), entropy_bits, 3 * values.size, ((64, 1),))
        return float(((found.levels * found.scale[:, None] - values) ** 2).sum())

    best = error()
    alone = []
    for exponent in (0.0, 1.0):
        monkeypatch.setattr(priced_rounding, "_EXPONENTS", (exponent,))
        alone.append(error())
    assert best < 1.02 * min(alone)


def test_a_channel_out_of_reach_gets_a_wider_step():
    values = normal((4, 500))
    values[2, 3] = 1000
    found = round_priced(Weight(values, 0), entropy_bits, 3 * values.size, ((64, 1),))
    assert found.scale[2] == pytest.approx(1000 / 64)
    assert found.scale[0] < 1


@pytest.mark.slow
def test_knowing_the_price_pays_where_bits_are_few(monkeypatch):
    values = normal((128, 256))
    rows = normal((600, 256), 1) * np.geomspace(0.1, 1, 256, dtype=np.float32)
    matrix = (rows.T @ rows / 600).astype(np.float32)
    weight = Weight(values, 0, second_moments=SecondMoments(matrix))

    def error(price: float) -> float:
        monkeypatch.setattr(priced_rounding, "_PRICE", price)
        found = round_priced(weight, entropy_bits, round(1.3 * values.size), RINGS)
        difference = found.levels * found.scale[:, None] - values
        return float(np.einsum("ci,ij,cj->", difference, matrix, difference))

    assert error(0.05) < 0.99 * error(0.0)

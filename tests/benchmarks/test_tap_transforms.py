"""Plans with a transform of taps, what they save, and what its codes take."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.tap_transforms import (
    BITS,
    Made,
    all_bits,
    basis_of,
    best_plan,
    curve_rows,
    options_of,
    plane_bits,
    report,
    saved,
)


def curve(factor: float) -> list[tuple[float, float, float]]:
    """A layer that loses 6 dB with each bit."""
    return [(bits, bits / 8, factor * 4.0**-bits) for bits in BITS]


def options(factor: float):
    curves = {"rice": curve(1.0), "taps": curve(factor)}
    return {"a": options_of(curves, 1.0, 8_000), "b": options_of({"rice": curve(1.0)}, 4.0, 8_000)}


def test_a_plan_keeps_to_its_budget_and_gives_bits_where_they_count() -> None:
    plan = best_plan(options(1.0), 4_000)
    assert 3_900 <= sum(option.bytes for option in plan.values()) <= 4_000
    # Four times the sensitivity is worth one bit.
    assert plan["b"].bits - plan["a"].bits == pytest.approx(1.0, abs=0.07)


def test_a_way_of_a_quarter_of_the_noise_saves_a_bit_of_its_layer() -> None:
    # Of 8,000 weights, whose bit takes 1,000 bytes; steps between plans are 60 bytes.
    assert saved(options(0.25), 5_000) == pytest.approx(0.2, abs=0.03)


def test_planes_take_what_the_shortest_code_does() -> None:
    zeros = np.zeros((40, 50), np.int64)
    assert plane_bits(zeros) == 16
    one = zeros.copy()
    one[3, 4] = -2
    assert 16 < plane_bits(one) < 64
    numbers = np.rint(np.random.default_rng(0).standard_normal((40, 50)) * 2).astype(np.int64)
    entropy = 0.5 * np.log2(2 * np.pi * np.e * 4)
    assert plane_bits(numbers) / numbers.size == pytest.approx(entropy, abs=0.1)
    both = np.stack([numbers, zeros], axis=2).reshape(40, 100)
    assert all_bits(both, 2) == 8 * -(-plane_bits(numbers) // 8) + 16


def test_the_basis_decorrelates_taps() -> None:
    random = np.random.default_rng(0).standard_normal((30, 20, 7))
    alike = (random + np.roll(random, 1, axis=2)).astype(np.float32)
    coefficients = alike.reshape(-1, 7) @ basis_of(alike)
    moments = coefficients.T @ coefficients / len(coefficients)
    assert np.abs(moments - np.diag(np.diag(moments))).max() < 0.03


def test_the_section_has_plans_only_where_they_were_carried_out() -> None:
    made = Made(1_200_000, "both", 1_190_000, 0.02, 0.03, "+1.0% [+0.5%, +1.5%]", "t1.50 r2.00")
    rows = curve_rows("layer1.conv", {"rice": curve(0.1), "taps": curve(0.05)})
    said = report([made], [(1_200_000, 0.1)], rows, "About.")
    assert "10.0% at 1.2 MB" in said
    assert "| 1.2 | both | 1.190 | 0.02000 | 0.03000 | +1.0% [+0.5%, +1.5%] | t1.50" in said
    assert "| layer1.conv | 1.25 | 17.5 | 20.5 |" in said
    assert "budget, MB" not in report([], [(1_200_000, 0.1)], rows, "About.")

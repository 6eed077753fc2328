"""Divergence between measured candidates."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.sensitivity.interpolation import interpolate, interpolate_noise

MEASURED = [(1e-1, 0.5), (1e-3, 0.002)]


def test_measured_points_are_met() -> None:
    for noise, divergence in MEASURED:
        assert interpolate(noise, MEASURED) == pytest.approx(divergence)


def test_between_two_points_a_power_law_runs() -> None:
    assert interpolate(1e-2, MEASURED) == pytest.approx((0.5 * 0.002) ** 0.5)


def test_less_noise_than_measured_gives_less_divergence_in_proportion() -> None:
    assert interpolate(1e-5, MEASURED) == pytest.approx(0.002 / 100)
    assert interpolate(0.0, MEASURED) == 0.0


def test_more_noise_than_measured_gives_more_but_never_faster_than_in_proportion() -> None:
    assert interpolate(1.0, MEASURED) == pytest.approx(5.0)
    flat = [(1e-3, 0.1), (1e-1, 0.2)]
    assert 0.2 < interpolate(1.0, flat) < 0.4
    assert interpolate(0.2, [(1e-1, 0.2)]) == pytest.approx(0.4)


def test_points_without_noise_or_divergence_say_nothing() -> None:
    assert interpolate(1e-2, [*MEASURED, (0.0, 0.0), (1e-2, 0.0)]) == interpolate(1e-2, MEASURED)
    assert interpolate(1e-2, [(0.0, 0.0)]) == 0.0
    assert interpolate(1e-3, [(1e-3, 0.1), (1e-3, 0.1), (1.0, 0.2)]) == pytest.approx(0.1)


def test_noise_falls_by_equal_factors_from_bit_to_bit() -> None:
    codecs = [CodecChoice("grouped", bits) for bits in (1, 4, 6)]
    known = list(zip(codecs, (0.64, 0.01, 0.0004), strict=True))
    known.append((CodecChoice("bitplane", 2), 9.0))
    found = [interpolate_noise(CodecChoice("grouped", bits), known) for bits in (2, 3, 5)]
    assert found == pytest.approx([0.16, 0.04, 0.002])


def test_no_noise_beside_some_is_taken_for_some() -> None:
    known = [(CodecChoice("grouped", 1), 0.5), (CodecChoice("grouped", 4), 0.0)]
    assert interpolate_noise(CodecChoice("grouped", 2), known) == 0.5

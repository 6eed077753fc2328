"""Weighted k-means in one dimension."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.kmeans import k_means


def error(values: np.ndarray, masses: np.ndarray, centers: np.ndarray) -> float:
    return float((masses * ((values[:, None] - centers) ** 2).min(axis=1)).sum())


def best_error(values: np.ndarray, masses: np.ndarray, count: int) -> float:
    """Of every way to cut the sorted values into intervals."""
    best = np.inf
    for cuts in itertools.combinations(range(1, len(values)), count - 1):
        edges = [0, *cuts, len(values)]
        centers = [
            np.average(values[a:b], weights=masses[a:b]) for a, b in itertools.pairwise(edges)
        ]
        best = min(best, error(values, masses, np.array(centers)))
    return best


@pytest.mark.parametrize("count", [2, 4, 16])
def test_normal_values_get_the_centers_of_max(count):
    # Max, "Quantizing for minimum distortion", 1960, table 1: least error, by number of levels.
    least = {2: 0.3634, 4: 0.1175, 16: 0.009497}[count]
    values = np.linspace(-8, 8, 20001)
    masses = np.exp(-(values**2) / 2)
    centers = k_means(values, masses, count)
    assert error(values, masses, centers) / masses.sum() == pytest.approx(least, rel=2e-3)
    np.testing.assert_allclose(centers, -centers[::-1], atol=2e-3)


@given(
    values=st.lists(st.integers(-50, 50), min_size=3, max_size=12, unique=True),
    count=st.integers(1, 3),
)
def test_a_few_values_are_cut_about_as_well_as_possible(values, count):
    points = np.sort(np.array(values, np.float64))
    masses = 1 + np.arange(len(points)) % 3.0
    alone = error(points, masses, k_means(points, masses, 1))
    found = error(points, masses, k_means(points, masses, count))
    assert found <= best_error(points, masses, count) + 0.35 * alone
    if count == 1:
        assert found == pytest.approx(best_error(points, masses, 1))


@given(
    values=st.lists(st.floats(-1e3, 1e3), max_size=40),
    count=st.integers(1, 70),
    seed=st.integers(0, 2**32 - 1),
)
def test_centers_are_ascending_and_within_the_values(values, count, seed):
    points = np.sort(np.array(values, np.float64))
    masses = np.random.default_rng(seed).integers(0, 3, len(points)).astype(np.float64)
    centers = k_means(points, masses, count)
    assert centers.shape == (count,)
    assert (np.diff(centers) >= 0).all()
    present = points[masses > 0]
    low, high = (present[0], present[-1]) if len(present) else (0.0, 0.0)
    slack = 1e-9 * (high - low)
    assert (centers >= low - slack).all()
    assert (centers <= high + slack).all()


def test_as_many_centers_as_values_leave_no_error():
    values = np.array([-3.0, 0.0, 0.5, 40.0])
    np.testing.assert_allclose(k_means(values, np.ones(4), 4), values)
    assert error(values, np.ones(4), k_means(values, np.ones(4), 9)) < 1e-20


def test_values_without_mass_do_not_count():
    values = np.array([-100.0, 1.0, 2.0, 100.0])
    np.testing.assert_allclose(k_means(values, np.array([0.0, 1, 1, 0]), 2), [1, 2])
    np.testing.assert_array_equal(k_means(values, np.zeros(4), 3), np.zeros(3))


def test_a_center_is_the_mean_by_mass():
    assert k_means(np.array([0.0, 3.0]), np.array([2.0, 1.0]), 1)[0] == pytest.approx(1.0)


def test_each_row_of_masses_is_a_problem_of_its_own():
    random = np.random.default_rng(0)
    values = np.sort(random.standard_normal(200))
    masses = random.random((2, 3, 200)) * (random.random((2, 3, 200)) < 0.5)
    masses[1, 2] = 0
    together = k_means(values, masses, 5)
    assert together.shape == (2, 3, 5)
    for place in np.ndindex(2, 3):
        np.testing.assert_array_equal(together[place], k_means(values, masses[place], 5))

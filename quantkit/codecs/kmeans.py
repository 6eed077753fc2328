"""Weighted k-means in one dimension."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_ITERATIONS = 60
#: Share of the range that no center has moved by when the iteration stops.
_STILL = 1e-6


def k_means(values: Float64Array, masses: Float64Array, count: int) -> Float64Array:
    """Centers with little mass-weighted squared distance to the nearest of them.

    Lloyd's iteration ("Least squares quantization in PCM", 1982) on sorted values: clusters are
    intervals, and prefix sums give their means, so a step costs ``count`` binary searches. It
    starts where the density of centers is the cube root of that of the values, which is best for
    many centers (Panter and Dite, "Quantization distortion in pulse-count modulation", 1951,
    equation 16). Deterministic.

    Args:
        values: (points,) ascending, such as the places of a histogram's bins.
        masses: (points,) not negative.
        count: of centers, at least 1.

    Returns:
        (count,) ascending; equal ones where there are fewer different values than centers.
    """
    present = masses > 0
    if not present.any():
        return np.zeros(count)
    values, masses = values[present], masses[present]
    mass = np.concatenate(([0.0], np.cumsum(masses)))
    moment = np.concatenate(([0.0], np.cumsum(masses * values)))
    centers = _spread(values, masses, count)
    tolerance = _STILL * (values[-1] - values[0])
    for _ in range(_ITERATIONS):
        inner = np.searchsorted(values, (centers[1:] + centers[:-1]) / 2)
        edges = np.concatenate(([0], inner, [len(values)]))
        own = np.diff(mass[edges])
        # An empty cluster keeps its center, between its neighbours.
        moved = np.where(own > 0, np.diff(moment[edges]) / np.where(own > 0, own, 1), centers)
        moved = np.maximum.accumulate(moved)
        still = np.abs(moved - centers).max() <= tolerance
        centers = moved
        if still:
            break
    return centers


def _spread(values: Float64Array, masses: Float64Array, count: int) -> Float64Array:
    """Centers at the quantiles of the cube root of the values' density."""
    if len(values) <= count:
        return values[np.arange(count) * len(values) // count]
    gaps = np.gradient(values)
    gaps = np.maximum(gaps, (values[-1] - values[0]) * 1e-12)
    # density = mass / gap; a point's share is ∛density · gap.
    share = np.cumsum(np.cbrt(masses / masses.max() * gaps**2))
    wanted = (np.arange(count) + 0.5) / count * share[-1]
    return np.asarray(np.interp(wanted, share, values), np.float64)

"""Weighted k-means in one dimension."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]

_ITERATIONS = 60
#: The iteration stops when every center moves by less than this share of the range.
_STILL = 1e-6


def k_means(values: Float64Array, masses: Float64Array, count: int) -> Float64Array:
    """Centers with a small mass-weighted squared distance to the nearest one.

    Lloyd's iteration ("Least squares quantization in PCM", 1982) on sorted values: clusters are
    intervals, and prefix sums give their means, so a step costs ``count`` binary searches. It
    starts where the density of centers is the cube root of that of the values, which is best for
    many centers (Panter and Dite, "Quantization distortion in pulse-count modulation", 1951,
    equation 16). Deterministic.

    Args:
        values: (points,) ascending, such as the places of a histogram's bins.
        masses: (…, points) not negative; each row is a problem of its own.
        count: of centers, at least 1.

    Returns:
        (…, count) ascending; some are equal if there are fewer distinct values than centers.
    """
    rows = masses.reshape(math.prod(masses.shape[:-1]), masses.shape[-1])
    centers = np.zeros((len(rows), count))
    alive = rows.any(axis=1)
    if alive.any():
        centers[alive] = _centers(values, rows[alive], count)
    return centers.reshape(*masses.shape[:-1], count)


def _centers(values: Float64Array, masses: Float64Array, count: int) -> Float64Array:
    """For masses (rows, points), some in each row: (rows, count)."""
    none = np.zeros((len(masses), 1))
    mass = np.concatenate((none, np.cumsum(masses, axis=1)), axis=1)
    moment = np.concatenate((none, np.cumsum(masses * values, axis=1)), axis=1)
    centers = _spread(values, masses, count)
    tolerance = _STILL * (values[-1] - values[0])
    points = mass.shape[1]
    mass, moment = mass.reshape(-1), moment.reshape(-1)
    # A converged row stays fixed, so that no row depends on the others.
    moving = np.arange(len(masses))
    edges = np.empty((len(masses), count + 1), np.intp)
    edges[:, 0], edges[:, -1] = 0, points - 1
    for _ in range(_ITERATIONS):
        before, inner = centers[moving], edges[: len(moving)]
        inner[:, 1:-1] = np.searchsorted(values, (before[:, 1:] + before[:, :-1]) / 2)
        places = inner + moving[:, None] * points
        at_edges = mass.take(places)
        own = at_edges[:, 1:] - at_edges[:, :-1]
        at_edges = moment.take(places)
        sums = at_edges[:, 1:] - at_edges[:, :-1]
        # An empty cluster keeps its center, between its neighbours.
        filled = own > 0
        moved = np.where(filled, sums / np.where(filled, own, 1), before)
        moved = np.maximum.accumulate(moved, axis=1)
        centers[moving] = moved
        moving = moving[np.abs(moved - before).max(axis=1) > tolerance]
        if not moving.size:
            break
    return centers


def _spread(values: Float64Array, masses: Float64Array, count: int) -> Float64Array:
    """Centers at the quantiles of the cube root of the values' density: (rows, count)."""
    centers = np.empty((len(masses), count))
    for center, row in zip(centers, masses, strict=True):
        present = row > 0
        points, mass = values[present], row[present]
        if len(points) <= count:
            center[:] = points[np.arange(count) * len(points) // count]
            continue
        gaps = _gradient(points)
        gaps = np.maximum(gaps, (points[-1] - points[0]) * 1e-12)
        # density = mass / gap; a point's share is ∛density · gap.
        share = np.cumsum(np.cbrt(mass / mass.max() * gaps**2))
        wanted = (np.arange(count) + 0.5) / count * share[-1]
        center[:] = np.interp(wanted, share, points)
    return centers


def _gradient(points: Float64Array) -> Float64Array:
    """As ``np.gradient``, which asks much before it begins."""
    gaps = np.empty_like(points)
    gaps[1:-1] = (points[2:] - points[:-2]) / 2
    gaps[0], gaps[-1] = points[1] - points[0], points[-1] - points[-2]
    return gaps

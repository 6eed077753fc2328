"""Weight steps and an activation range, searched in turn for the outputs of some layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.calibration.ranges import Range
from quantkit.codecs.uniform import UniformGrid
from quantkit.quantization.kernels.activations import static_grid
from quantkit.quantization.output_error import OutputError

_ROUNDS = 3
#: Shares of what clips nothing that are tried first: from all of it to a fortieth.
_COARSE = np.geomspace(1.0, 1 / 40, 18)[1:]
#: Shares of the best that are tried next, up to its neighbours, and again around the best of them.
_FINE = tuple(_COARSE[0] ** np.linspace(-reach, reach, 8) for reach in (0.8, 0.18))


@dataclass(frozen=True)
class Product:
    """A layer as the product of some rows of its input with its weight.

    Args:
        inputs: (groups, rows, inputs).
        weight: (groups, channels, inputs).
        levels: the evenly spaced ones that the weight is rounded to; None: it stays as it is.
    """

    inputs: FloatArray
    weight: FloatArray
    levels: UniformGrid | None = None

    @cached_property
    def output(self) -> FloatArray:
        """Of the float layer, (groups, rows, channels)."""
        return self.inputs @ self.weight.swapaxes(1, 2)

    @cached_property
    def unclipped_steps(self) -> FloatArray | None:
        """The steps at which no weight is clipped, (groups, channels)."""
        if self.levels is None:
            return None
        rows = self.weight.reshape(-1, self.weight.shape[2])
        return self.levels.unclipped_step(rows).reshape(self.weight.shape[:2])

    def rounded_weight(self, steps: FloatArray | None) -> FloatArray:
        """The weight on its levels, (groups, channels, inputs).

        Args:
            steps: (groups, channels); None for a weight that stays as it is.
        """
        if steps is None or self.levels is None:
            return self.weight
        column: FloatArray = np.where(steps > 0, steps, 1).astype(np.float32)[:, :, None]
        rounded = self.levels.nearest(self.weight / column)
        rounded *= column
        return rounded


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Args:
        bounds: of the activation; None where there was none.
        steps: of each product's weight, (groups, channels); None for weights without levels.
    """

    bounds: Range | None
    steps: tuple[FloatArray | None, ...]


def search(
    products: Sequence[Product],
    bounds: Range | None,
    bits: int,
    *,
    step_error: OutputError | None,
    bounds_error: OutputError | None,
) -> Found:
    """Search the steps of each weight and the range of the activation that all products read.

    Both start where nothing is clipped. With the range as it is, each channel takes the step with
    the least error of its own output; with the steps as they are, each end of the range moves to
    where the errors of all products together are least. What is not better is not taken, so
    where both errors are ``hessian`` no turn makes their sum worse.

    Args:
        bounds: the range that clips nothing; None where the activation is not rounded.
        bits: of the activation's grid.
        step_error, bounds_error: what decides; None where nothing is searched.
    """
    steps = [product.unclipped_steps for product in products]
    shares = (1.0, 1.0)
    for turn in range(_ROUNDS):
        stages = _FINE if turn else (_COARSE, *_FINE)
        before = shares, list(steps)
        if step_error is not None:
            now = _scaled(bounds, shares)
            steps = [
                _searched_steps(
                    product, start, round_inputs(product.inputs, now, bits), stages, step_error
                )
                for product, start in zip(products, steps, strict=True)
            ]
        if bounds is not None and bounds_error is not None:
            shares = _searched_shares(products, steps, bounds, shares, bits, stages, bounds_error)
        same_steps = all(a is b for a, b in zip(before[1], steps, strict=True))
        if same_steps and shares == before[0]:
            break
    return Found(_scaled(bounds, shares), tuple(steps))


def round_inputs(inputs: FloatArray, bounds: Range | None, bits: int) -> FloatArray:
    """``inputs`` as the asymmetric grid over ``bounds`` gives them; None leaves them."""
    if bounds is None:
        return inputs
    scale, zero_point = static_grid(bounds, bits)
    levels: FloatArray = np.rint(inputs / scale)
    np.clip(levels, -zero_point, 2**bits - 1 - zero_point, out=levels)
    levels *= scale
    return levels


def _searched_steps(
    product: Product,
    start: FloatArray | None,
    inputs: FloatArray,
    stages: Sequence[Doubles],
    error: OutputError,
) -> FloatArray | None:
    """Steps that are no worse than ``start``, which itself is returned where none is better."""
    widest = product.unclipped_steps
    if start is None or widest is None:
        return start

    def error_of(steps: FloatArray) -> Doubles:
        rounded = inputs @ product.rounded_weight(steps).swapaxes(1, 2)
        return error.per_channel(product.output, rounded)

    best, least = start, error_of(start)
    for shares in stages:
        center = best
        for share in shares:
            candidate = np.minimum(center * np.float32(share), widest)
            found = error_of(candidate)
            better = found < least
            if better.any():
                best, least = np.where(better, candidate, best), np.minimum(found, least)
    return best


def _searched_shares(
    products: Sequence[Product],
    steps: Sequence[FloatArray | None],
    bounds: Range,
    start: tuple[float, float],
    bits: int,
    stages: Sequence[Doubles],
    error: OutputError,
) -> tuple[float, float]:
    """Shares of both ends that are no worse than ``start``."""
    weights = [
        product.rounded_weight(each).swapaxes(1, 2)
        for product, each in zip(products, steps, strict=True)
    ]

    def error_of(shares: tuple[float, float]) -> float:
        now = _scaled(bounds, shares)
        return sum(
            error.whole(product.output, round_inputs(product.inputs, now, bits) @ weight)
            for product, weight in zip(products, weights, strict=True)
        )

    best, least = start, error_of(start)
    for end, extreme in ((1, bounds.highest), (0, bounds.lowest)):
        if extreme == 0.0:
            continue
        for stage in stages:
            center = best[end]
            for share in stage:
                moved = min(center * float(share), 1.0)
                candidate = (best[0], moved) if end else (moved, best[1])
                found = error_of(candidate)
                if found < least:
                    best, least = candidate, found
    return best


def _scaled(bounds: Range | None, shares: tuple[float, float]) -> Range | None:
    if bounds is None:
        return None
    return Range(bounds.lowest * shares[0], bounds.highest * shares[1])

"""Error-compensated rounding: the error of one rounded weight is compensated by the next ones.

For a channel with weights w and rounded weights ŵ, the mean squared error of its output is (w − ŵ)ᵀ
H (w − ŵ) with H = E[x xᵀ], the second moments of its inputs. With H = L Λ Lᵀ (L unit lower
triangular, Λ diagonal) it is Σ Λₖ (vₖ − ŵₖ)² for vₖ = wₖ + Σ (wⱼ − ŵⱼ) Lⱼₖ over all j > k. So
weights are rounded from the last to the first, each vₖ to the nearest level. This is LDLQ (Chee et
al., "QuIP: 2-Bit Quantization of Large Language Models With Guarantees", 2023, section 3), which
they prove to be the same as GPTQ (Frantar et al., "GPTQ: Accurate Post-Training Quantization for
Generative Pre-trained Transformers", 2022), which solves the same problem as Optimal Brain Surgeon
(Hassibi and Stork, "Second order derivatives for network pruning", 1993) weight by weight. In this
form no matrix is inverted. The weights with the largest inputs are rounded first, as in GPTQ's
"act-order", and the updates are applied block by block.

The values vₖ have a wider range than the weights, the more so the fewer the bits. A grid fitted to
the weights clips them, and errors accumulate. For given v, however, the error is a squared error in
which column k has the importance Λₖ, and every codec can fit a grid to that. So fitting the grid to
v and rounding alternate, and the best round is kept. At 2 bits that divides the error by three.

A weight that is rounded early does not take later ones into account. So each is optimised again,
given all others: the error is least at ŵₖ + (H (w − ŵ))ₖ / Hₖₖ, and the weight moves to the nearest
level. No move increases the error. (Coordinate descent after GPTQ, as in Nair and Suggala,
"CDQuant", 2024.) Two rounds reduce the error by another twentieth.

An input that was always zero in calibration does not enter H; its weights are rounded to nearest.

For n channels of d inputs the cost is d³/3 once and n·d² for each round of either kind, and the
memory, beside H itself, that of the factor, d² in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Booleans, Doubles, FloatArray, IndexArray
from quantkit.codecs.base import Weight
from quantkit.codecs.channels import as_rows
from quantkit.codecs.feedback import Feedback, SecondMoments
from quantkit.codecs.uniform import normal_scale

LevelArray = npt.NDArray[np.int16]

#: Most rounds of fitting a grid and rounding the weights to it.
_ROUNDS = 4
#: A round that leaves more than this share of the error is the last.
_LEAST_GAIN = 0.9
#: Rounds of coordinate descent at the end.
_SECOND_LOOKS = 2


class Grid(Protocol):
    """Levels that the weights of a layer may take, in steps of their channel's scale."""

    scale: FloatArray
    """(channels,), positive."""

    group: int
    """Number of consecutive columns that must be rounded together; 1 for any order."""

    def copy(self) -> Self:
        """A copy that can be opened without changing this grid."""

    def take_better(self, other: Self, own_errors: Doubles, errors: Doubles) -> Booleans:
        """Take over the better of two grids, per channel, or as a whole if channels share tables.

        Args:
            other: a grid of the same layer.
            own_errors, errors: of this one and the other, (channels,).

        Returns:
            (channels,), which of them were taken from the other.
        """

    def open(
        self, channels: slice, columns: IndexArray, ratios: FloatArray, masses: FloatArray
    ) -> None:
        """Called before a group is rounded, to choose what its columns share.

        Args:
            channels: which of them.
            columns: of the group, in any order.
            ratios: (columns, channels), values in steps, before the group is rounded.
            masses: (columns,), what a squared error in each costs.
        """

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        """The level nearest to each of ``ratios``, (channels,), as floats."""

    def prefers(
        self,
        channels: slice,
        column: int,
        moved: IndexArray,
        wanted: FloatArray,
        found: FloatArray,
        now: FloatArray,
    ) -> Booleans:
        """Which of some weights are better off on another level: one that is nearer.

        Args:
            column: of these weights.
            moved: which of ``channels`` they belong to.
            wanted: values in steps.
            found, now: the other levels, and their own.
        """
        nearer: Booleans = np.abs(wanted - found) < np.abs(wanted - now)
        return nearer

    def weigh(self, channels: slice, masses: FloatArray) -> None:
        """Called before weights are rounded or moved.

        Args:
            masses: what a squared error in each column costs in what follows, (columns,).
        """
        return


GridType = TypeVar("GridType", bound=Grid)


@dataclass
class Laid(Generic[GridType]):
    """A grid, and weights on it.

    Args:
        grid: with the scales of the channels.
        levels: (channels, inputs).
    """

    grid: GridType
    levels: LevelArray

    def copy(self) -> Self:
        """A copy that can be rounded without changing this one."""
        return type(self)(self.grid.copy(), self.levels.copy())


def lay_and_round(
    weight: Weight, lay: Callable[[Weight], Laid[GridType]], *, once: bool = False
) -> Laid[GridType]:
    """Fit a grid to a weight, and round the weight to it.

    With second moments, errors are compensated. The error under the damped moments then never
    exceeds that of the nearest levels that ``lay`` returns first: per channel, or in total if
    channels share tables. Without moments, the levels are the nearest ones.

    Args:
        weight: if it has scales, they are kept.
        lay: fits a grid to a weight of (channels, inputs), and returns its nearest levels.
        once: one round without second looks: with 7 bits, a tenth more error, in less than half the
            time.
    """
    once = once or weight.for_estimate
    rows = as_rows(weight)
    moments = weight.second_moments
    if moments is None or not rows.values.any():
        return lay(replace(rows, second_moments=None))
    # So that no product overflows or underflows, whatever the magnitude of the weights.
    largest = float(np.abs(rows.values).max())
    values = (rows.values / largest).astype(np.float32)
    given = None if rows.scale is None else (rows.scale / largest).astype(np.float32)
    fitted = replace(rows, values=values, second_moments=None, scale=given)
    best = lay(fitted)
    compensation = Compensation.of(moments, len(values), best.grid.group)
    if compensation is None:
        return lay(replace(rows, second_moments=None))
    best_error = compensation.error(values, best)
    laid = best.copy()
    rounds = 1 if once else _ROUNDS
    for number in range(1, rounds + 1):
        error, decided = compensation.round(values, laid)
        before = best_error.sum()
        better = best.grid.take_better(laid.grid, best_error, error)
        best.levels[better] = laid.levels[better]
        best_error = np.where(better, error, best_error)
        little = best_error.sum() > _LEAST_GAIN * before
        if given is not None or little or number == rounds:
            break
        laid = lay(replace(fitted, values=decided, importance=compensation.masses(), scale=None))
    if not once:
        compensation.improve(values, best)
    scale = best.grid.scale.astype(np.float64) * largest
    if given is None:
        scale *= compensation.best_factors(values, best)
    best.grid.scale = normal_scale(scale)
    return best


@dataclass(frozen=True)
class Compensation:
    """How errors spread in each group of channels.

    Args:
        groups: channels with the same inputs, and how errors spread among these.
        channels: of all groups.
    """

    groups: tuple[tuple[slice, Feedback], ...]
    channels: int

    @classmethod
    def of(cls, moments: SecondMoments, channels: int, group: int) -> Compensation | None:
        """None if the moments are unusable.

        Args:
            group: see :class:`Grid`.
        """
        feedbacks = moments.feedbacks(group)
        if feedbacks is None:
            return None
        size = channels // len(feedbacks)
        groups = (
            (slice(index * size, (index + 1) * size), feedback)
            for index, feedback in enumerate(feedbacks)
        )
        return cls(tuple(groups), channels)

    def round(self, values: FloatArray, laid: Laid[GridType]) -> tuple[Doubles, FloatArray]:
        """Replace the levels of ``laid`` by compensated ones.

        Returns:
            The error of each channel, and the values that were rounded, (channels, inputs).
        """
        errors = np.empty(self.channels)
        decided = np.empty_like(values)
        for channels, feedback in self.groups:
            errors[channels] = _round(values, laid, feedback, channels, decided)
        return errors, decided

    def improve(self, values: FloatArray, laid: Laid[GridType]) -> None:
        """Move each weight to a better level of its grid, given all others."""
        for channels, feedback in self.groups:
            for _ in range(_SECOND_LOOKS):
                _improve(values, laid, feedback, channels)

    def error(self, values: FloatArray, laid: Laid[GridType]) -> Doubles:
        """(channels,)."""
        errors = np.empty(self.channels)
        for channels, feedback in self.groups:
            spread = feedback.spread(_difference(values, laid, channels))
            errors[channels] = feedback.square(spread, spread)
        return errors

    def best_factors(self, values: FloatArray, laid: Laid[GridType]) -> Doubles:
        """What to multiply each scale by for the least error with these levels: (channels,).

        With the error e and levels times scale q it is 1 + eᵀHq / qᵀHq.
        """
        factors = np.ones(self.channels)
        for channels, feedback in self.groups:
            errors = feedback.spread(_difference(values, laid, channels))
            rounded = laid.levels[channels] * laid.grid.scale[channels, None]
            levels = feedback.spread(rounded)
            square = feedback.square(levels, levels)
            known = square > 0
            factors[channels] += np.where(
                known, feedback.square(errors, levels) / np.where(known, square, 1), 0
            )
        return np.where(factors > 0, factors, 1)

    def masses(self) -> FloatArray:
        """What a squared error in each decided value costs, (channels, inputs)."""
        by_group = np.stack([feedback.masses() for _, feedback in self.groups])
        masses: FloatArray = by_group.repeat(self.channels // len(self.groups), axis=0)
        return masses


def _difference(values: FloatArray, laid: Laid[GridType], channels: slice) -> FloatArray:
    scale = laid.grid.scale[channels, None]
    difference: FloatArray = values[channels] - laid.levels[channels] * scale
    return difference


def _round(
    values: FloatArray,
    laid: Laid[GridType],
    feedback: Feedback,
    channels: slice,
    decided: FloatArray,
) -> Doubles:
    """Write levels and decided values of ``channels``; returns their errors."""
    grid, factor, order = laid.grid, feedback.factor, feedback.order
    grid.weigh(channels, feedback.masses())
    scale = grid.scale[channels]
    wanted = np.ascontiguousarray(values[channels].T[order])
    current = wanted.copy()
    errors = np.empty_like(wanted)
    levels = np.empty(wanted.shape, np.int16)
    for block, spans in feedback.blocks():
        for span in spans:
            done = slice(span.stop, block.stop)
            current[span] += factor[span, done] @ errors[done]
            grid.open(channels, order[span], current[span] / scale, feedback.costs[span])
            for row in range(span.stop - 1, span.start - 1, -1):
                done = slice(row + 1, span.stop)
                current[row] += factor[row, done] @ errors[done]
                found = grid.nearest(channels, int(order[row]), current[row] / scale)
                levels[row] = found
                errors[row] = wanted[row] - found * scale
        before = slice(0, block.start)
        current[before] += factor[before, block] @ errors[block]
    decided[channels, order] = current.T
    laid.levels[channels, order] = levels.T
    current -= wanted - errors
    return feedback.square(current, current)


def _improve(values: FloatArray, laid: Laid[GridType], feedback: Feedback, channels: slice) -> None:
    """One round of coordinate descent over ``channels``, in the order of rounding."""
    grid, order = laid.grid, feedback.order
    grid.weigh(channels, feedback.diagonal())
    scale = grid.scale[channels]
    errors = np.ascontiguousarray(_difference(values, laid, channels).T[order])
    # Whole numbers all the same; converted here once and not in every row.
    levels = laid.levels[channels].T[order].astype(np.float32)
    for block, _ in feedback.blocks():
        rows = feedback.rows(block)
        # Channels first: a move is felt by all earlier rows of a few channels.
        pull = np.ascontiguousarray((rows @ errors).T)
        inside = np.ascontiguousarray(rows[:, block].T)
        costs = np.diagonal(inside)[:, None] * scale
        for row in range(block.stop - 1, block.start - 1, -1):
            place, now = row - block.start, levels[row]
            target = now + pull[:, place] / costs[place]
            found = grid.nearest(channels, int(order[row]), target)
            # Few levels change: only for them is it asked whether the new one is nearer.
            moved = (found != now).nonzero()[0]
            better = grid.prefers(
                channels, int(order[row]), moved, target[moved], found[moved], now[moved]
            )
            moved = moved[better]
            if not moved.size:
                continue
            change = (now[moved] - found[moved]) * scale[moved]
            errors[row, moved] += change
            if place:
                pull[moved, :place] += change[:, None] * inside[place, :place]
            now[moved] = found[moved]
    laid.levels[channels, order] = levels.T

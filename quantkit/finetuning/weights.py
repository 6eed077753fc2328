"""Weights that are trained on the grid that their file will hold.

A float weight v is kept beside its levels: what the graph multiplies by is levels · scale, with
gradients as if rounding were the identity within the grid's range, and the scale's gradient as in
Esser et al., "Learned Step Size Quantization", 2020, equation 3. Tables of levels are learned, too,
rounded to int8 in every step. All numbers are laid out as the codec is given them.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Codec, Encoded, Weight
from quantkit.codecs.channels import from_rows, to_rows
from quantkit.codecs.lookup import TableArray
from quantkit.codecs.uniform import UniformGrid
from quantkit.finetuning.operators import round_through
from quantkit.finetuning.rounding import codes_of, straight_through

#: What the graph multiplies by while a weight is trained: its nearest level, the weight itself, or
#: one of the two levels beside it, drawn so that the weight is their mean.
Form = Literal["nearest", "as it is", "drawn"]

#: Gradients of weights end so many steps beyond the outermost level.
_MARGIN = 0.5
#: From the border of a cell, as a share of the way to its level, that a weight begins at least.
_ROOM = 0.2
#: A channel's unit is at least this share of the largest one's.
_LEAST_UNIT = 1e-4
_INT8 = 127


class TrainedWeight(nn.Module):
    """One weight, (channels, inputs), as parameters around the grid of its codec.

    Weights are trained in units of their channel's root mean square, scales and tables in shares of
    their first values, so that one learning rate fits all layers and codecs.

    Args:
        codec: how it will be stored.
        values: the float weight, in the layout that the codec is given.
        first: what post-training quantization made of it; training begins there.
        largest_level: see :class:`~quantkit.codecs.base.Weight`.
    """

    unit: Tensor
    first_scale: Tensor
    fixed: Tensor | None
    fixed_levels: Tensor | None
    #: Whether the codec encodes the float weight now and then, instead of in every step.
    encodes_now_and_then = False

    def __init__(
        self, codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None
    ) -> None:
        super().__init__()
        self.codec, self.shape, self.axis = codec, values.shape, first.axis
        self.largest_level = largest_level
        self.form: Form = "nearest"
        self.generator: torch.Generator | None = None
        self.register_buffer("fixed", None)
        self.register_buffer("fixed_levels", None)
        self._float_values: FloatArray | None = values
        rows = to_rows(values, first.axis).astype(np.float32)
        root = np.sqrt(np.mean(np.square(rows, dtype=np.float64), axis=1, keepdims=True))
        root = np.maximum(root, _LEAST_UNIT * max(float(root.max(initial=0)), 1e-20))
        self.register_buffer("unit", torch.from_numpy(root.astype(np.float32)))
        self.register_buffer("first_scale", torch.from_numpy(first.scale.copy())[:, None])
        self.scale_growth = nn.Parameter(torch.zeros_like(self.first_scale))
        self.steps = nn.Parameter(torch.from_numpy(rows) / self.unit)

    @property
    def scale(self) -> Tensor:
        """(channels, 1), positive."""
        return self.first_scale * torch.exp(self.scale_growth)

    @property
    def values(self) -> Tensor:
        """(channels, inputs), the float weight behind the levels."""
        return self.steps * self.unit

    def begin_at(self, levels: Tensor, lower: Tensor, upper: Tensor) -> None:
        """Move the float weight little, so that ``levels`` are its nearest ones.

        Args:
            lower, upper: borders of the levels' cells, in steps; infinite where there is none.
        """
        with torch.no_grad():
            ratios = self.values / self.scale
            # Compensated rounding leaves many weights beyond their cell. On its border, the first
            # step of the optimizer would lead them all to the next level at once.
            room = _ROOM * torch.minimum(levels - lower, upper - levels)
            inside = torch.clamp(ratios, lower + room, upper - room)
            self.steps.copy_(inside * self.scale / self.unit)

    @abstractmethod
    def nearest_levels(self) -> Tensor:
        """(channels, inputs) whole numbers as float32, without gradient through rounding."""

    @abstractmethod
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest level, to broadcast to (channels, inputs)."""

    @abstractmethod
    def neighbours(self) -> tuple[Tensor, Tensor]:
        """The levels below and above each weight, (channels, inputs)."""

    def levels(self) -> Tensor:
        """(channels, inputs): the levels that are fixed, and the nearest ones of other weights."""
        if self.fixed is None or self.fixed_levels is None:
            return self.nearest_levels()
        return torch.where(self.fixed, self.fixed_levels, self.nearest_levels())

    def forward(self) -> Tensor:
        """(channels, inputs): levels · scale, or what :attr:`form` says."""
        ratios = self.values / self.scale
        if self.form == "as it is":
            # Fixed integers stay what they are, and their scale is learned.
            return self._or_fixed(ratios) * self.scale
        levels = self._drawn(ratios) if self.form == "drawn" else self.levels()
        lowest, highest = self.bounds()
        return straight_through(ratios, levels, lowest - _MARGIN, highest + _MARGIN) * self.scale

    def _or_fixed(self, ratios: Tensor) -> Tensor:
        if self.fixed is None or self.fixed_levels is None:
            return ratios
        return torch.where(self.fixed, self.fixed_levels, ratios)

    def _drawn(self, ratios: Tensor) -> Tensor:
        with torch.no_grad():
            lower, upper = self.neighbours()
            gap = torch.clamp(upper - lower, min=1.0)
            chance = torch.rand(ratios.shape, generator=self.generator)
            return self._or_fixed(torch.where(chance * gap < ratios - lower, upper, lower))

    def clip(self) -> None:
        """Move weights beyond the outermost levels to these, from where they may still return."""
        with torch.no_grad():
            lowest, highest = self.bounds()
            inside = torch.clamp(self.values / self.scale, lowest, highest)
            self.steps.copy_(inside * self.scale / self.unit)

    def can_be_fixed(self) -> None:
        """Prepare :meth:`fix`; nothing is fixed yet."""
        self.register_buffer("fixed", torch.zeros(self.steps.shape, dtype=torch.bool))
        self.register_buffer("fixed_levels", torch.zeros(self.steps.shape))

    def fix(self, share: float) -> None:
        """Fix more weights at their nearest levels, until ``share`` of them are.

        Those of largest magnitude go first, as shares of their channel's root mean square. Their
        integers do not change any more.
        """
        assert self.fixed is not None
        assert self.fixed_levels is not None
        with torch.no_grad():
            missing = round(share * self.fixed.numel()) - int(self.fixed.sum())
            if missing <= 0:
                return
            magnitudes = torch.where(self.fixed, -1.0, self.steps.abs()).reshape(-1)
            chosen = torch.zeros_like(self.fixed).reshape(-1)
            chosen[magnitudes.topk(missing).indices] = True
            chosen = chosen.reshape(self.fixed.shape)
            self.fixed_levels.copy_(torch.where(chosen, self.nearest_levels(), self.fixed_levels))
            self.fixed.logical_or_(chosen)

    def return_to_float(self) -> None:
        """Make the float weight what it was before :meth:`begin_at`."""
        assert self._float_values is not None
        rows = to_rows(self._float_values, self.axis).astype(np.float32)
        with torch.no_grad():
            self.steps.copy_(torch.from_numpy(rows) / self.unit)

    def forget_float(self) -> None:
        """Give back the memory of what :meth:`return_to_float` needs."""
        self._float_values = None

    def refresh(self) -> None:
        """Find anew what is not found in every step, such as what a codec makes of the weight."""

    def encoded(self) -> Encoded:
        """The weight as its codec stores it."""
        return self.codec.encode(self._weight())

    def _weight(self) -> Weight:
        values, scale = self.values.detach(), self.scale.detach()[:, 0]
        if self.fixed is not None and self.fixed_levels is not None:
            values = torch.where(self.fixed, self.fixed_levels * scale[:, None], values)
        return Weight(
            from_rows(values.numpy(), self.shape, self.axis),
            self.axis,
            scale=scale.numpy(),
            largest_level=self.largest_level,
        )


class EvenWeight(TrainedWeight):
    """Of a codec of evenly spaced levels: nearest levels are found in every step."""

    def __init__(
        self,
        codec: Codec,
        values: FloatArray,
        first: Encoded,
        largest_level: int | None,
        grid: UniformGrid,
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        self.grid = grid.within(largest_level)
        levels = torch.from_numpy(to_rows(first.levels, first.axis).astype(np.float32))
        half = grid.step / 2
        far = torch.tensor(torch.inf)
        self.begin_at(
            levels,
            torch.where(levels <= self.grid.lowest, -far, levels - half),
            torch.where(levels >= self.grid.highest, far, levels + half),
        )

    def nearest_levels(self) -> Tensor:
        """As :meth:`~quantkit.codecs.uniform.UniformGrid.nearest`."""
        with torch.no_grad():
            ratios = self.values / self.scale
            if self.grid.step == 1:
                found = torch.round(ratios)
            else:
                found = torch.floor(ratios * 0.5) * 2 + 1
            return found.clamp_(self.grid.lowest, self.grid.highest)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Those of the grid."""
        return torch.tensor(float(self.grid.lowest)), torch.tensor(float(self.grid.highest))

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """See :meth:`TrainedWeight.neighbours`."""
        grid = self.grid
        places = torch.floor((self.values / self.scale - grid.lowest) / grid.step)
        lower = (grid.lowest + grid.step * places).clamp_(grid.lowest, grid.highest - grid.step)
        return lower, lower + grid.step


class TableWeight(TrainedWeight):
    """Of a codec with tables: levels are learned, and each group keeps its table.

    Rounding that compensates errors chose the tables. The float weights, many of them beyond the
    cell of their level, would choose others: at one bit, smaller ones in every layer.

    Args:
        group_size: consecutive weights of a channel that choose a table; None: all of it.
        fixed_tables: (tables, levels), of a codec whose levels no weight changes; None: its tables
            are stored beside the weight, and learned.
    """

    choices: Tensor

    def __init__(
        self,
        codec: Codec,
        values: FloatArray,
        first: Encoded,
        largest_level: int | None,
        group_size: int | None,
        fixed_tables: TableArray | None = None,
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        inputs = self.steps.shape[1]
        self.group_size = group_size or inputs
        tables = tables_of(first) if fixed_tables is None else fixed_tables
        assert tables is not None
        self.stores_tables = fixed_tables is None
        self.tables = nn.Parameter(
            torch.from_numpy(tables.astype(np.float32) / _INT8), requires_grad=self.stores_tables
        )
        rows = to_rows(first.levels, first.axis)
        self.register_buffer("choices", _choices(rows, tables, self.group_size))
        levels = torch.from_numpy(rows.astype(np.float32))
        lower, upper = self._cells(self._grouped(levels))
        self.begin_at(levels, self._ungrouped(lower), self._ungrouped(upper))

    def int8_tables(self) -> Tensor:
        """(tables, levels), each ascending, rounded with the gradient of the identity."""
        if not self.stores_tables:
            return torch.round(self.tables * _INT8)
        limit = min(self.largest_level or _INT8, _INT8)
        return round_through(torch.sort(self.tables * _INT8, dim=1).values.clamp(-limit, limit))

    def nearest_levels(self) -> Tensor:
        """The nearest level of each group's table; gradients reach the tables."""
        tables = self.int8_tables()
        with torch.no_grad():
            middles = (tables[:, 1:] + tables[:, :-1]) / 2
            ratios = self._grouped(self.values / self.scale)
            flat = self.choices[:, None] * tables.shape[1] + codes_of(ratios, middles[self.choices])
        return self._ungrouped(tables.reshape(-1)[flat])

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Those of each group's table."""
        tables = self.int8_tables().detach()[self.choices]
        shape = (len(self.choices), self.group_size)
        lowest, highest = (tables[:, place, None].expand(shape) for place in (0, -1))
        return self._ungrouped(lowest), self._ungrouped(highest)

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """See :meth:`TrainedWeight.neighbours`."""
        tables = self.int8_tables().detach()
        ratios = self._grouped(self.values / self.scale)
        above = torch.searchsorted(tables[self.choices], ratios.contiguous(), right=True)
        above = above.clamp_(1, tables.shape[1] - 1)
        flat = self.choices[:, None] * tables.shape[1] + above
        numbers = tables.reshape(-1)
        return self._ungrouped(numbers[flat - 1]), self._ungrouped(numbers[flat])

    def can_be_fixed(self) -> None:
        """See :meth:`TrainedWeight.can_be_fixed`; tables are fixed from now on, too."""
        super().can_be_fixed()
        self.tables.requires_grad_(False)

    def _int8(self) -> TableArray:
        return self.int8_tables().detach().numpy().astype(np.int8)

    def _weight(self) -> Weight:
        # On its levels, so that the codec finds the table of each group again.
        values = self.levels().detach() * self.scale.detach()
        return Weight(
            from_rows(values.numpy(), self.shape, self.axis),
            self.axis,
            scale=self.scale.detach()[:, 0].numpy(),
            tables=self._int8() if self.stores_tables else None,
            largest_level=self.largest_level,
        )

    def _grouped(self, rows: Tensor) -> Tensor:
        """(groups, group size), the last group of a channel filled with zeros."""
        filling = -rows.shape[1] % self.group_size
        padded = nn.functional.pad(rows, (0, filling))
        return padded.reshape(-1, self.group_size)

    def _ungrouped(self, groups: Tensor) -> Tensor:
        channels, inputs = self.steps.shape
        return groups.reshape(channels, -1)[:, :inputs]

    def _cells(self, groups: Tensor) -> tuple[Tensor, Tensor]:
        """Borders between each level and its neighbours in its table."""
        tables = self.int8_tables().detach()
        far = torch.full((len(tables), 1), torch.inf)
        middles = (tables[:, 1:] + tables[:, :-1]) / 2
        lower, upper = torch.cat([-far, middles], dim=1), torch.cat([middles, far], dim=1)
        own = tables[self.choices]
        codes = torch.searchsorted(own, groups.contiguous()).clamp(max=tables.shape[1] - 1)
        flat = self.choices[:, None] * tables.shape[1] + codes
        return lower.reshape(-1)[flat], upper.reshape(-1)[flat]


class OtherWeight(TrainedWeight):
    """Of any other codec: it encodes the float weight anew now and then.

    The float weight begins where post-training quantization left it, and that stays as it is until
    the weight has moved: encoded anew, it would lose what errors of one weight made up for in
    others. A pruned weight begins at zero, and comes back where it grows beyond one that was kept.
    """

    encodes_now_and_then = True

    def __init__(
        self, codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        self.scale_growth.requires_grad_(False)
        self._encoded = self._first = first
        self.register_buffer("held", self._rows(first))
        with torch.no_grad():
            self.steps.copy_(self.held / self.unit)
        self._begun = self.steps.detach().clone()

    held: Tensor

    def nearest_levels(self) -> Tensor:
        """Those of the last time."""
        return self.held / self.scale

    def bounds(self) -> tuple[Tensor, Tensor]:
        """None: the codec looks at the float weight itself."""
        return torch.tensor(-torch.inf), torch.tensor(torch.inf)

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """The level of the last time, twice."""
        return self.levels(), self.levels()

    def refresh(self) -> None:
        """Encode the float weight."""
        weight = self._weight()
        if torch.equal(self.steps, self._begun):
            self._encoded = self._first
        else:
            self._encoded = self.codec.encode(
                Weight(weight.values, weight.axis, largest_level=self.largest_level)
            )
        self.held.copy_(self._rows(self._encoded))

    def forward(self) -> Tensor:
        """What the codec made of it, and gradients as if that were nothing."""
        values = self.values
        return self.held + (values - values.detach())

    def encoded(self) -> Encoded:
        """As of the last :meth:`refresh`."""
        return self._encoded

    @staticmethod
    def _rows(encoded: Encoded) -> Tensor:
        return torch.from_numpy(to_rows(encoded.dequantized(), encoded.axis).copy())


def tables_of(encoded: Encoded) -> TableArray | None:
    """(tables, levels) int8, the stored tables of levels; None where there are none."""
    for stored in encoded.packed:
        if stored.part.name == "tables":
            return np.frombuffer(stored.raw, np.int8).reshape(stored.part.shape)
    return None


def _choices(rows: np.ndarray, tables: TableArray, group_size: int) -> Tensor:
    """(groups,): for each group a table that has all its levels.

    Where each channel has a table of its own, it is that one.
    """
    filling = -rows.shape[1] % group_size
    places = np.pad(rows.astype(np.intp), ((0, 0), (0, filling)), mode="edge") + 128
    groups = places.reshape(-1, group_size)
    if len(tables) == len(groups):
        return torch.arange(len(groups))
    chosen = np.zeros(len(groups), np.int64)
    for number in reversed(range(len(tables))):
        has = np.zeros(256, bool)
        has[tables[number].astype(np.intp) + 128] = True
        chosen[has[groups].all(axis=1)] = number
    return torch.from_numpy(chosen)

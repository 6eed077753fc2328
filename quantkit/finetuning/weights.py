"""Weights that are trained on the grid that their file will hold.

A float weight v is kept beside its levels: what the graph multiplies by is levels · scale, with
gradients as if rounding were the identity within the grid's range, and the scale's gradient as in
Esser et al., "Learned Step Size Quantization", 2020, equation 3. Tables of levels are learned, too,
rounded to int8 in every step. All numbers are laid out as the codec is given them.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Codec, Encoded, Weight
from quantkit.codecs.channels import from_rows, to_rows
from quantkit.codecs.codebook import Codebook
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.lookup import TableArray
from quantkit.codecs.uniform import EvenlySpaced, UniformGrid
from quantkit.finetuning.operators import round_through

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

    def __init__(
        self, codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None
    ) -> None:
        super().__init__()
        self.codec, self.shape, self.axis = codec, values.shape, first.axis
        self.largest_level = largest_level
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
    def levels(self) -> Tensor:
        """(channels, inputs) whole numbers as float32, without gradient through rounding."""

    @abstractmethod
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lowest and highest level, to broadcast to (channels, inputs)."""

    def forward(self) -> Tensor:
        """(channels, inputs), levels · scale."""
        levels = self.levels()
        ratios = self.values / self.scale
        lowest, highest = self.bounds()
        within = (ratios >= lowest - _MARGIN) & (ratios <= highest + _MARGIN)
        straight = (ratios - ratios.detach()) * within
        return (levels + straight) * self.scale

    def refresh(self) -> None:
        """Choose anew what is not chosen in every step, such as the table of each group."""

    def encoded(self) -> Encoded:
        """The weight as its codec stores it."""
        return self.codec.encode(self._weight())

    def _weight(self) -> Weight:
        values, scale = self.values.detach(), self.scale.detach()[:, 0]
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

    def levels(self) -> Tensor:
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


class TableWeight(TrainedWeight):
    """Of a codec with tables: levels are learned, and groups choose their table now and then."""

    choices: Tensor

    def __init__(
        self,
        codec: Codec,
        values: FloatArray,
        first: Encoded,
        largest_level: int | None,
        group_size: int | None,
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        inputs = self.steps.shape[1]
        self.group_size = group_size or inputs
        tables = tables_of(first)
        assert tables is not None
        self.tables = nn.Parameter(torch.from_numpy(tables.astype(np.float32) / _INT8))
        rows = to_rows(first.levels, first.axis)
        self.register_buffer("choices", _choices(rows, tables, self.group_size))
        levels = torch.from_numpy(rows.astype(np.float32))
        lower, upper = self._cells(self._grouped(levels))
        self.begin_at(levels, self._ungrouped(lower), self._ungrouped(upper))

    def int8_tables(self) -> Tensor:
        """(tables, levels), each ascending, rounded with the gradient of the identity."""
        limit = min(self.largest_level or _INT8, _INT8)
        return round_through(torch.sort(self.tables * _INT8, dim=1).values.clamp(-limit, limit))

    def levels(self) -> Tensor:
        """The nearest level of each group's table; gradients reach the tables."""
        tables = self.int8_tables()
        with torch.no_grad():
            middles = (tables[:, 1:] + tables[:, :-1]) / 2
            ratios = self._grouped(self.values / self.scale)
            codes = torch.searchsorted(middles[self.choices], ratios.contiguous())
            flat = self.choices[:, None] * tables.shape[1] + codes
        return self._ungrouped(tables.reshape(-1)[flat])

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Those of each group's table."""
        tables = self.int8_tables().detach()[self.choices]
        shape = (len(self.choices), self.group_size)
        lowest, highest = (tables[:, place, None].expand(shape) for place in (0, -1))
        return self._ungrouped(lowest), self._ungrouped(highest)

    def refresh(self) -> None:
        """Let each group take the table of least error."""
        encoded = self.encoded()
        tables = tables_of(encoded)
        assert tables is not None
        rows = to_rows(encoded.levels, encoded.axis)
        self.choices.copy_(_choices(rows, tables, self.group_size))

    def _weight(self) -> Weight:
        weight = super()._weight()
        tables = self.int8_tables().detach().numpy().astype(np.int8)
        return Weight(
            weight.values,
            weight.axis,
            scale=weight.scale,
            tables=tables,
            largest_level=weight.largest_level,
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
    """Of any other codec: it encodes the float weight anew now and then."""

    def __init__(
        self, codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        self.scale_growth.requires_grad_(False)
        self._encoded = first
        self.register_buffer("held", self._rows(first))

    held: Tensor

    def levels(self) -> Tensor:
        """Those of the last time."""
        return self.held / self.scale

    def bounds(self) -> tuple[Tensor, Tensor]:
        """None: the codec looks at the float weight itself."""
        return torch.tensor(-torch.inf), torch.tensor(torch.inf)

    def refresh(self) -> None:
        """Encode the float weight."""
        weight = self._weight()
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


def trained_weight(
    codec: Codec, values: FloatArray, first: Encoded, largest_level: int | None = None
) -> TrainedWeight:
    """The form in which a weight of ``codec`` is trained; see :class:`TrainedWeight`."""
    if isinstance(codec, EvenlySpaced):
        return EvenWeight(codec, values, first, largest_level, codec.spacing)
    if isinstance(codec, Grouped):
        return TableWeight(codec, values, first, largest_level, codec.group_size)
    if isinstance(codec, Codebook):
        return TableWeight(codec, values, first, largest_level, None)
    return OtherWeight(codec, values, first, largest_level)


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

"""Short blocks of weights with a scale each, in the format of ``MatMulNBits``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from quantkit.arrays import Booleans, Doubles, FloatArray, IndexArray
from quantkit.codecs.base import DecodeBuilder, Encoded, Packed, Part, Weight
from quantkit.codecs.channels import from_rows, inputs_of
from quantkit.codecs.compensated import Grid, Laid, lay_and_round
from quantkit.codecs.uniform import (
    VANISHING,
    UniformGrid,
    channel_blocks,
    fit_uniform,
    normal_scale,
)
from quantkit.errors import InputError

ByteArray = npt.NDArray[np.uint8]

_WIDTHS = (2, 4, 8)
_SIZES = (16, 32, 64, 128, 256)
#: A block's scale is 1 to 255 times its channel's.
_LARGEST_MULTIPLIER = 255
#: Candidate ranges of a block's levels, as shares of the range of its weights.
_SHARES = np.geomspace(1.0, 0.4, 14)
_REFINEMENTS = 2


@dataclass(frozen=True)
class Blocks:
    """Each block of consecutive inputs of a channel has a scale, and below 8 bits a zero point.

    A block's scale is a whole multiple, 1 to 255, of its channel's float scale. One byte is enough:
    on trained weights the error grows by less than 0.01 dB at 4 bits and 0.5 dB at 8 compared with
    float32 scales. A weight then takes ``bits + 8 / block_size``, plus ``bits / block_size`` with
    zero points. At 4 bits, zero points reduce the error of blocks of 32 by 1.0 dB, more than
    shorter blocks of the same file size would. At 8 bits shorter blocks gain more.

    Args:
        bits: 2, 4 or 8.
        block_size: 16, 32, 64, 128 or 256; the last block of a channel is zero-padded.

    Raises:
        InputError: any other setting.
    """

    name: ClassVar[str] = "blocks"
    opset: ClassVar[int] = 13

    bits: int
    block_size: int = 32

    def __post_init__(self) -> None:
        if self.bits not in _WIDTHS:
            raise InputError(f"blocks have 2, 4 or 8 bits, not {self.bits}")
        if self.block_size not in _SIZES:
            raise InputError(f"block_size must be 16, 32, 64, 128 or 256, not {self.block_size}")

    @property
    def has_zero_points(self) -> bool:
        """Whether zero points are stored; else all are 2 to the power of bits - 1."""
        return self.bits < 8

    def parts(self, shape: Sequence[int], axis: int) -> tuple[Part, ...]:
        """Codes (channels, blocks, bytes), multipliers (channels, blocks), zero points packed."""
        channels, blocks = shape[axis], self._blocks(inputs_of(shape, axis))
        codes = (channels, blocks, self.block_size * self.bits // 8)
        parts = [
            Part("codes", TensorProto.UINT8, codes),
            Part("multipliers", TensorProto.UINT8, (channels, blocks)),
        ]
        if self.has_zero_points:
            zero_points = (channels, -(-blocks * self.bits // 8))
            parts.append(Part("zero_points", TensorProto.UINT8, zero_points))
        return tuple(parts)

    def encode(self, weight: Weight) -> Encoded:
        """Search each block's scale and zero point for a small importance-weighted squared error.

        Where the weight has second moments, rounding errors are compensated; see
        :mod:`~quantkit.codecs.compensated`.

        The levels are (code - zero point) · multiplier, in int16.
        """
        shape, axis = weight.values.shape, weight.axis
        laid = lay_and_round(weight, self._lay)
        grid = laid.grid
        steps = self._in_blocks(laid.levels) // grid.multipliers[..., None]
        codes = (steps + grid.zero_points[..., None]).astype(np.uint8)
        packed = [
            Packed.of("codes", _packed(codes, self.bits)),
            Packed.of("multipliers", grid.multipliers),
        ]
        if self.has_zero_points:
            packed.append(Packed.of("zero_points", _packed(grid.zero_points, self.bits)))
        return Encoded(from_rows(laid.levels, shape, axis), grid.scale, axis, tuple(packed))

    def decode(
        self, shape: Sequence[int], axis: int, names: Mapping[str, str], builder: DecodeBuilder
    ) -> str:
        """Unsupported: the kernel reads the stored tensors directly.

        Raises:
            InputError: always.
        """
        raise InputError("blocks are for compute matmul-nbits only; choose another codec")

    def _blocks(self, inputs: int) -> int:
        return -(-inputs // self.block_size)

    def _lay(self, weight: Weight) -> Laid[_BlockGrid]:
        """Fit each block, and find the nearest levels."""
        channels, inputs = weight.values.shape
        blocks = self._blocks(inputs)
        grid = _BlockGrid(
            scale=np.empty(channels, np.float32),
            multipliers=np.empty((channels, blocks), np.uint8),
            zero_points=np.empty((channels, blocks), np.uint8),
            size=self.block_size,
            highest=(1 << self.bits) - 1,
        )
        levels = np.empty((channels, inputs), np.int16)
        largest = float(np.abs(weight.values).max(initial=0)) or 1.0
        for rows, matrix, importance in channel_blocks(weight):
            values = self._in_blocks(matrix)
            masses = None if importance is None else self._in_blocks(importance)
            steps, grid.zero_points[rows] = self._fit(values, masses)
            steps = np.where(steps > 0, steps, largest * VANISHING)
            shared = steps.max(axis=1, initial=0) / _LARGEST_MULTIPLIER
            grid.scale[rows] = normal_scale(shared)
            ratios = np.rint(steps / grid.scale[rows, None])
            grid.multipliers[rows] = np.clip(ratios, 1, _LARGEST_MULTIPLIER)
            block_scales = grid.multipliers[rows] * grid.scale[rows, None]
            found = grid.levels(rows, values / block_scales[..., None])
            levels[rows] = found.reshape(len(found), -1)[:, :inputs]
        return Laid(grid, levels)

    def _in_blocks(self, matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(channels, inputs) → (channels, blocks, block size), zero-padded."""
        channels, inputs = matrix.shape
        blocks = self._blocks(inputs)
        filling = blocks * self.block_size - inputs
        filled = np.pad(matrix, ((0, 0), (0, filling))) if filling else matrix
        return filled.reshape(channels, blocks, self.block_size)

    def _fit(
        self, values: FloatArray, masses: FloatArray | None
    ) -> tuple[npt.NDArray[np.float64], ByteArray]:
        """Scale (0 for blocks of zeros) and zero point of each block."""
        if self.has_zero_points:
            return _fit_ranges(values, masses, (1 << self.bits) - 1)
        rows = Weight(
            values.reshape(-1, self.block_size),
            0,
            None if masses is None else masses.reshape(-1, self.block_size),
        )
        half = 1 << (self.bits - 1)
        _, scale = fit_uniform(rows, UniformGrid(-half, half - 1))
        silent = ~values.any(axis=-1)
        steps = np.where(silent, 0, scale.reshape(silent.shape).astype(np.float64))
        return steps, np.full(silent.shape, half, np.uint8)


@dataclass
class _BlockGrid(Grid):
    """The levels of each block. See :class:`~quantkit.codecs.compensated.Grid`.

    Args:
        multipliers, zero_points: (channels, blocks).
        size: of a block.
        highest: code.
    """

    scale: FloatArray
    multipliers: ByteArray
    zero_points: ByteArray
    size: int
    highest: int
    group = 1

    def levels(self, channels: slice, ratios: FloatArray) -> FloatArray:
        """The nearest ones.

        Args:
            ratios: (channels, blocks, block size), values in steps of their block.
        """
        zeros = self.zero_points[channels, :, None].astype(np.float32)
        found: FloatArray = np.clip(np.rint(ratios) + zeros, 0, self.highest) - zeros
        return found * self.multipliers[channels, :, None]

    def copy(self) -> Self:
        return replace(
            self,
            scale=self.scale.copy(),
            multipliers=self.multipliers.copy(),
            zero_points=self.zero_points.copy(),
        )

    def take_better(self, other: Self, own_errors: Doubles, errors: Doubles) -> Booleans:
        better = errors < own_errors
        self.scale[better] = other.scale[better]
        self.multipliers[better] = other.multipliers[better]
        self.zero_points[better] = other.zero_points[better]
        return better

    def open(
        self, channels: slice, columns: IndexArray, ratios: FloatArray, masses: FloatArray
    ) -> None:
        """Nothing to choose."""

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        block = column // self.size
        multipliers = self.multipliers[channels, block].astype(np.float32)
        zeros = self.zero_points[channels, block].astype(np.float32)
        codes = np.clip(np.rint(ratios / multipliers) + zeros, 0, self.highest)
        found: FloatArray = (codes - zeros) * multipliers
        return found


def _fit_ranges(
    values: FloatArray, masses: FloatArray | None, highest: int
) -> tuple[npt.NDArray[np.float64], ByteArray]:
    """Scale and zero point of each block for codes 0 … ``highest``.

    The zero point divides the levels as zero divides the range of the block, rounded down or up.
    For each of these two zero points and each candidate step the nearest levels q are found; the
    best scale for them, Σmwq / Σmq² (least squares, with importance m), reduces the error by
    (Σmwq)² / Σmq², and the levels that reduce it most are chosen. Then nearest levels and best
    scale are found alternately, as in :func:`~quantkit.codecs.uniform.fit_uniform`.
    """
    largest = np.abs(values).max(axis=-1, initial=0).astype(np.float64)
    # So that squares neither overflow nor underflow, whatever the magnitude of the weights.
    shares = (values / np.where(largest > 0, largest, 1)[..., None]).astype(np.float32)
    weighted = shares
    if masses is not None:
        peak = masses.max(axis=-1, initial=0, keepdims=True)
        masses = (masses / np.where(peak > 0, peak, 1)).astype(np.float32)
        weighted = shares * masses
        # Blocks without observed inputs: all weights count the same.
        unobserved = ~weighted.any(axis=-1)
        masses[unobserved], weighted[unobserved] = 1, shares[unobserved]
    lowest = np.minimum(shares.min(axis=-1, initial=0), 0).astype(np.float64)
    spread = np.maximum(shares.max(axis=-1, initial=0), 0) - lowest
    spread = np.where(spread > 0, spread, 1)
    division = -lowest / spread * highest

    def best_scale(
        steps: npt.NDArray[np.float64], zeros: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """The least-squares scale for each block's step, and its reduction of the error."""
        bounds = zeros.astype(np.float32)[..., None]
        levels = np.rint(shares / steps.astype(np.float32)[..., None])
        np.clip(levels, -bounds, highest - bounds, out=levels)
        product = np.einsum("...i,...i->...", levels, weighted).astype(np.float64)
        factors = (levels, levels) if masses is None else (levels, levels, masses)
        letters = ",".join(["...i"] * len(factors))
        square = np.einsum(f"{letters}->...", *factors).astype(np.float64)
        scale = product / np.where(square > 0, square, 1)
        return scale, np.where(product > 0, scale * product, 0)

    best = np.zeros(largest.shape)
    best_gain = np.zeros(largest.shape)
    best_zeros = np.floor(division)
    for zeros in (np.floor(division), np.ceil(division)):
        for share in _SHARES:
            scale, gain = best_scale(spread * share / highest, zeros)
            better = gain > best_gain
            best = np.where(better, scale, best)
            best_gain = np.where(better, gain, best_gain)
            best_zeros = np.where(better, zeros, best_zeros)
    for _ in range(_REFINEMENTS):
        scale, gain = best_scale(np.where(best > 0, best, 1), best_zeros)
        best = np.where(gain > best_gain, scale, best)
        best_gain = np.maximum(gain, best_gain)
    return best * largest, best_zeros.astype(np.uint8)


def _packed(codes: ByteArray, bits: int) -> ByteArray:
    """Codes side by side in bytes along the last dimension, the first in the lowest bits."""
    per_byte = 8 // bits
    filling = -codes.shape[-1] % per_byte
    filled = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, filling)])
    digits = filled.reshape(*codes.shape[:-1], filled.shape[-1] // per_byte, per_byte)
    shifts = (np.arange(per_byte) * bits).astype(np.uint8)
    packed: ByteArray = np.bitwise_or.reduce(digits << shifts, axis=-1)
    return packed

"""Second moments of a layer's input, from a stream of clips: what rounding is compensated by.

For a channel with weights w and rounded weights ŵ, the squared error of the layer's output is
(ŵ − w)ᵀ E[x xᵀ] (ŵ − w) on average: E[x xᵀ] is half the Hessian of that error (Hassibi and Stork,
"Second order derivatives for network pruning: Optimal Brain Surgeon", 1993; Frantar et al.,
"GPTQ", 2022, equation 1).

Two ways, by the layer's kind:

- Matrix products and convolutions over several dimensions: the sum of x xᵀ over the rows of
  :func:`~quantkit.calibration.patches.patches`, made some at a time.
- Convolutions over time: tap i of channel c and tap j of channel d meet the same signal, shifted.
  Their moment depends on the lag j − i alone, but for the ends of the clip. One product of all
  channels by all channels for each lag gives the whole matrix, taps times cheaper than patches are
  and in a taps-th of the memory. At the ends every position is counted at which a tap lies on the
  clip, with zeros beyond, and of a strided convolution every phase: this is the autocorrelation
  method of linear prediction (Makhoul, "Linear Prediction: A Tutorial Review", 1975, section
  III-B). The matrix is then a sum of x xᵀ, too, and so positive semidefinite.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import onnx
from scipy.linalg.blas import ssyrk

from quantkit.arrays import Doubles, FloatArray
from quantkit.calibration.patches import windows
from quantkit.calibration.spill import Spill, SpilledArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Geometry, layer_weights

#: Frames or rows of one clip that are looked at, at most: neighbours tell the same, and raw audio
#: has thousands of frames a second.
_MOST_FRAMES = 4096
#: Stretches that they are taken from, where a clip has more.
_STRETCHES = 8
#: Elements of the patches that are held at a time.
_BLOCK = 1 << 22
_BLOCK_ROWS = 512
#: Elements of a layer's matrix, at most; a layer with more is rounded to the nearest levels.
LARGEST_MATRIX = 1 << 26
#: Bytes of matrices that are held in memory; those of layers that were seen before lie on disk.
MEMORY = 64_000_000
#: Found on the shipped model: of one clip of 12 seconds 17 % is then noise, of 32 clips 0.6 %, each
#: near the share that gave the least error on other speakers.
PRIOR_ROWS = 128


class _Sums(Protocol):
    """Sums over all clips that the moments are made of."""

    sums: Doubles

    @property
    def products(self) -> FloatArray | None:
        """Of inputs by inputs, in a form of the layer's kind; None before the first clip."""

    def add(self, values: FloatArray) -> None:
        """Take in one clip."""

    def matrix(self) -> FloatArray:
        """(groups, inputs, inputs), not divided by the number of rows."""

    def total(self) -> Doubles:
        """The sum of all rows, (groups, inputs)."""

    @property
    def rows(self) -> int:
        """How many there were that lie on the clips."""

    @property
    def windows(self) -> int:
        """How many there were, those that overhang a clip's ends included."""


class InputMoments:
    """E[x xᵀ] and E[x] of the inputs that a channel's weights meet.

    Memory, in float32: (groups · taps · input channels²) of a group for convolutions over time,
    else (groups · inputs²).

    Args:
        geometry: of the layer; layers of the same geometry, such as the queries, keys and values
            of attention, can share one tracker.
        spill: shares its memory among matrices; None: this one has all that it needs.
    """

    def __init__(self, geometry: Geometry, spill: Spill | None = None) -> None:
        self.geometry = geometry
        rows = not geometry.is_over_time
        self._sums: _Sums = _Rows(geometry, spill or Spill(0)) if rows else _Lags(geometry)
        self._digest: bytes | None = None

    def update(self, values: FloatArray) -> None:
        """Take in the finite values of :attr:`Geometry.value` for one clip."""
        self._digest = None
        self._sums.add(values)

    @property
    def rows(self) -> int:
        """Positions seen: about the frames of all clips."""
        return self._sums.rows

    def digest(self) -> bytes:
        """Of all that was seen: trackers that saw the same give the same moments."""
        if self._digest is None:
            found = hashlib.sha256(f"{self.geometry} {self.rows} {self._sums.windows}".encode())
            products = self._sums.products
            if products is not None:
                found.update(np.ascontiguousarray(products).data)
            found.update(np.ascontiguousarray(self._sums.sums).data)
            self._digest = found.digest()
        return self._digest

    def mean(self) -> FloatArray | None:
        """(inputs,) or (groups, inputs); None when nothing was seen."""
        if not self.rows:
            return None
        return self._ungrouped((self._sums.total() / self.rows).astype(np.float32))

    def matrix(self, *, centered: bool = False, shrunk: bool = False) -> FloatArray | None:
        """E[x xᵀ], a new array: (inputs, inputs) or (groups, inputs, inputs).

        Symmetric and, up to rounding, positive semidefinite. None when nothing was seen, or when
        squares of the values overflow.

        Args:
            centered: the covariance E[x xᵀ] − E[x] E[x]ᵀ instead: the remaining error if the
                layer's bias compensates the mean.
            shrunk: shrunk towards white noise of the input's power, with the weight of
                :data:`PRIOR_ROWS` rows, so that the moments do not overfit a few clips (Ledoit and
                Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
                2004, equation 14, with a weight that depends on the number of rows only).
        """
        if not self.rows:
            return None
        found = self._sums.matrix()
        found /= np.float32(self.rows)
        if centered:
            both = np.sqrt(float(self.rows) * self._sums.windows)
            root_mean = (self._sums.total() / both).astype(np.float32)
            for moments, each in zip(found, root_mean, strict=True):
                # Row by row: no second matrix.
                for row, mean in zip(moments, each, strict=True):
                    row -= mean * each
        if shrunk:
            share = PRIOR_ROWS / (self.rows + PRIOR_ROWS)
            for moments in found:
                loudness = np.diagonal(moments).mean(dtype=np.float64)
                moments *= np.float32(1 - share)
                moments[np.diag_indices_from(moments)] += np.float32(share * loudness)
        return self._ungrouped(found) if np.isfinite(found).all() else None

    def _ungrouped(self, values: FloatArray) -> FloatArray:
        return values[0] if self.geometry.groups == 1 else values


class FirstStates:
    """Adds the states that a recurrent layer is handed to the moments of its recurrent weight.

    A predictor is run for one step at a time, so it meets no others.

    Args:
        moments: of a geometry with :attr:`Geometry.first`.
    """

    def __init__(self, moments: InputMoments) -> None:
        self._moments = moments

    def update(self, values: FloatArray) -> None:
        """Take in the states of one clip, (directions, batch, hidden)."""
        # Behind a first step and before a last one, whichever way a direction runs.
        self._moments.update(np.stack([values, values]))


def input_moments(
    model: onnx.ModelProto, names: Collection[str], known: Iterable[InputMoments] = ()
) -> Mapping[str, InputMoments]:
    """A tracker for each of the named layers; those that read the same input share one.

    What does not fit into :data:`MEMORY` lies in a temporary folder, which goes with the last one.

    Layers without :class:`~quantkit.calibration.patches.Geometry`, and those whose matrix would
    have more than :data:`LARGEST_MATRIX` elements, are left out.

    Args:
        known: to be taken rather than fresh ones.
    """
    editor = GraphEditor(model)
    trackers = {each.geometry: each for each in known}
    spill = Spill(MEMORY)
    found: dict[str, InputMoments] = {}
    for name, weight in layer_weights(editor).items():
        geometry = weight.geometry() if name in names else None
        if geometry is None or geometry.groups * geometry.inputs**2 > LARGEST_MATRIX:
            continue
        if geometry not in trackers:
            trackers[geometry] = InputMoments(geometry, spill)
        found[name] = trackers[geometry]
    return found


class _Rows:
    """Sums over patches."""

    def __init__(self, geometry: Geometry, spill: Spill) -> None:
        self.geometry = geometry
        self.rows = 0
        self.sums = np.zeros((geometry.groups, geometry.inputs))
        self._products = SpilledArray(spill)

    @property
    def products(self) -> FloatArray | None:
        return self._products.read()

    def add(self, values: FloatArray) -> None:
        groups, inputs = self.geometry.groups, self.geometry.inputs
        products = self._products.take()
        if products is None:
            products = np.zeros((groups, inputs, inputs), np.float32)
        for seen in self._blocks(values):
            rows = np.ascontiguousarray(seen.reshape(-1, groups, inputs).swapaxes(0, 1))
            for total, each in zip(products, rows, strict=True):
                # Half the work of a product; both arrays are in Fortran's order, transposed.
                ssyrk(1.0, each.T, beta=1.0, c=total.T, lower=1, overwrite_c=1)
            self.sums += rows.sum(axis=1, dtype=np.float64)
            self.rows += rows.shape[1]
        self._products.put(products)

    @property
    def windows(self) -> int:
        return self.rows

    def _blocks(self, values: FloatArray) -> Iterator[FloatArray]:
        """Views of some positions each, evenly spread over the clip."""
        dimensions = len(self.geometry.kernel)
        seen = windows(values, self.geometry)
        # Positions along the first dimension: of a matrix product the rows.
        along = 1 if dimensions else 0
        positions = np.moveaxis(seen, along, 0)
        per_position = positions[0].size if len(positions) else 1
        count = positions.size // (self.geometry.groups * self.geometry.inputs)
        positions = positions[:: max(-(-count // _MOST_FRAMES), 1)]
        some = max(_BLOCK // max(per_position, 1), 1)
        for start in range(0, len(positions), some):
            yield positions[start : start + some]

    def matrix(self) -> FloatArray:
        products = self.products
        assert products is not None
        found = products.copy()
        for each in found:
            _mirror(each)
        return found

    def total(self) -> Doubles:
        return self.sums


def _mirror(matrix: FloatArray) -> None:
    """Put what lies above the diagonal below it, too."""
    for start in range(0, len(matrix), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        matrix[rows, :start] = matrix[:start, rows].T
        block = matrix[rows, rows]
        block[:] = np.triu(block) + np.triu(block, 1).T


class _Lags:
    """Sums over frames for each lag between two taps of a convolution over time."""

    def __init__(self, geometry: Geometry) -> None:
        self.groups = geometry.groups
        self.taps, self.dilation = geometry.kernel[0], geometry.dilations[0]
        self.channels = geometry.inputs // self.taps
        self.rows = self.windows = 0
        shape = (self.taps, self.groups, self.channels, self.channels)
        #: For each lag, earlier tap's channel by later tap's channel.
        self.products: FloatArray = np.zeros(shape, np.float32)
        self.sums = np.zeros((self.groups, self.channels))

    def add(self, values: FloatArray) -> None:
        for clip in values:
            for stretch in _stretches(clip.shape[1]):
                self._add(clip[:, stretch].reshape(self.groups, self.channels, -1))

    def _add(self, signal: FloatArray) -> None:
        frames = signal.shape[2]
        later = np.ascontiguousarray(signal.swapaxes(1, 2))
        for products, lag in zip(self.products, range(0, frames, self.dilation), strict=False):
            products += signal[:, :, : frames - lag] @ later[:, lag:]
        self.sums += signal.sum(axis=2, dtype=np.float64)
        self.rows += frames
        self.windows += frames + (self.taps - 1) * self.dilation

    def matrix(self) -> FloatArray:
        shape = (self.groups, self.channels, self.taps, self.channels, self.taps)
        found = np.empty(shape, np.float32)
        for lag, products in enumerate(self.products):
            for tap in range(self.taps - lag):
                found[:, :, tap, :, tap + lag] = products
                found[:, :, tap + lag, :, tap] = products.swapaxes(1, 2)
        inputs = self.channels * self.taps
        return found.reshape(self.groups, inputs, inputs)

    def total(self) -> Doubles:
        return self.sums.repeat(self.taps, axis=1)


def _stretches(frames: int) -> Iterator[slice]:
    """All frames, or stretches of them that are evenly spread."""
    if frames <= _MOST_FRAMES:
        yield slice(0, frames)
        return
    length = _MOST_FRAMES // _STRETCHES
    for start in np.linspace(0, frames - length, _STRETCHES).astype(int):
        yield slice(start, start + length)

"""What a metric of a layer's sensitivity is, and what it is told about each clip."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.sensitivity.metrics.central_moments import CentralMoments

#: What a metric may look at: the layer's outputs, the same with its weight quantized, its inputs.
Reads = Literal["outputs", "quantized", "inputs"]


@dataclass(frozen=True)
class LayerClip:
    """What one clip, or a stretch of it, showed of one layer.

    Values that several metrics need are computed once, on first use.

    Args:
        outputs: (frames, channels), of the float layer.
        quantized: (frames, channels), from the same inputs with the weight quantized; empty where
            no metric reads it.
        inputs: (frames, input channels), with frames of their own; empty where no metric reads it.
    """

    outputs: FloatArray
    quantized: FloatArray
    inputs: FloatArray

    @cached_property
    def moments(self) -> CentralMoments:
        """Of the outputs."""
        return CentralMoments.of(self.outputs)

    @cached_property
    def error(self) -> Doubles:
        """(frames, channels): ŷ − y."""
        return np.subtract(self.quantized, self.outputs, dtype=np.float64)

    @cached_property
    def squared_errors(self) -> Doubles:
        """(frames,): ‖ŷ − y‖² of each frame."""
        squares: Doubles = np.einsum("fc,fc->f", self.error, self.error)
        return squares


class Metric(Protocol):
    """One number per layer, from a stream of clips and in memory that their number does not change.

    The order of the clips, and where they are cut, change the result by rounding only.
    """

    #: As in tables and on the command line.
    name: ClassVar[str]
    #: What :meth:`update` looks at.
    reads: ClassVar[frozenset[Reads]]
    #: Whether a larger value means that the layer needs more bits; else a smaller one does.
    more_is_sensitive: ClassVar[bool]

    def update(self, clip: LayerClip) -> None:
        """Take in finite values."""

    def result(self) -> float:
        """Over everything seen so far; finite, and 0 when nothing was."""


OUTPUTS: frozenset[Reads] = frozenset({"outputs"})
BOTH_OUTPUTS: frozenset[Reads] = frozenset({"outputs", "quantized"})
INPUTS: frozenset[Reads] = frozenset({"inputs"})

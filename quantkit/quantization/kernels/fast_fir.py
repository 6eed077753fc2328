"""A long convolution over time with fewer products: the fast FIR algorithm on integers.

With even and odd frames x₀[m] = x[2m], x₁[m] = x[2m + 1] of the input, h₀ and h₁ even and odd taps,
``*`` a correlation and S a shift by one frame (S x)[m] = x[m + 1], the even and the odd frames of a
convolution's output are

    P = h₀ * x₀,   Q = h₁ * x₁,   R = (h₀ + h₁) * (S x₀ + x₁),
    y₀ = P + Q,    y₁ = R − S P − Q:

three filters of half the length at half the rate, three quarters of the products (K. Parhi, "VLSI
Digital Signal Processing Systems", 1999, section 9.2; Z.-J. Mou and P. Duhamel, "Short-length FIR
filters and their use in fast nonrecursive filtering", IEEE Transactions on Signal Processing 39,
1991). Each of them can be halved once more: nine sixteenths.

Integer products stay exact if the sums of inputs and of weights are bytes: inputs of 7 bits and
weights of at most 63 for one halving, 6 bits and 31 for two. So a static layer whose input has that
few bits is computed this way, where it pays. The sums of weights are made while the session loads:
the file holds each weight once.

Where it pays was measured by ``python -m benchmarks.long_convolutions``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, unfolds
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.kernels.emitter import Emitter

# Of the layer, from which the products that are saved outweigh the sums, and taps of a filter that
# is halved.
_FEWEST_WEIGHTS = 3 << 20
_FEWEST_TAPS = 4
_MOST_HALVINGS = 2
_TO_THE_END = np.iinfo(np.int64).max


def halvings(editor: GraphEditor, node: onnx.NodeProto, bits: int) -> int:
    """How often the filters of ``node`` are halved; 0: it is computed in another way.

    Args:
        node: a layer of the float graph.
        bits: of the grid of its input.
    """
    shape, attributes = editor.shape(node.input[1]), editor.attributes(node)
    if not unfolds(editor, node) or shape is None or len(shape) != 3:
        return 0
    steps = [*attributes.get("strides", [1]), *attributes.get("dilations", [1])]
    if set(steps) != {1} or math.prod(shape) < _FEWEST_WEIGHTS:
        return 0
    possible = min(_MOST_HALVINGS, 8 - bits)
    while possible > 0 and (shape[2] % 2**possible or shape[2] < _FEWEST_TAPS * 2**possible):
        possible -= 1
    return max(0, possible)


def faster_bits(editor: GraphEditor, node: onnx.NodeProto) -> tuple[int, ...]:
    """Bits of the input of ``node`` below 8 of which each halves its filters once more, falling.

    Args:
        node: a layer of the float graph.
    """
    fewer = range(7, 7 - _MOST_HALVINGS, -1)
    return tuple(b for b in fewer if halvings(editor, node, b) > halvings(editor, node, b + 1))


def summed_weights(
    layers: Mapping[str, LayerWeight], choices: Mapping[str, LayerChoice]
) -> dict[str, int]:
    """How many weights of a layer are added up to one byte, by name; the others have no entry."""
    found = {}
    for name, choice in choices.items():
        if choice.compute == "static" and choice.multiplies_bytes and choice.activation_bits < 8:
            placed = layers[name]
            if count := halvings(placed.editor, placed.node, choice.activation_bits):
                found[name] = 2**count
    return found


@dataclass(frozen=True)
class Operands:
    """What a fast filter is made of: names of values in the graph, but for the numbers.

    Args:
        weight: (taps · channels, outputs) int8, tap by tap.
        input_scale, weight_scale: a scalar, and one number per output.
        bias: (outputs,); None for none.
        zero_point: of the input.
        padding: frames before and after.
        taps, channels, outputs: of the weight.
    """

    weight: str
    input_scale: str
    weight_scale: str
    bias: str | None
    zero_point: int
    padding: tuple[int, int]
    taps: int
    channels: int
    outputs: int


def fast_filter(emitter: Emitter, value: str, operands: Operands, count: int) -> str:
    """Append the nodes; returns the result, (batch, output frames, outputs) in float32.

    Args:
        value: (batch, frames, channels) uint8 of at most 8 − ``count`` bits.
        operands: with weights of at most 127 / 2 ** ``count``.
        count: of halvings.
    """
    return _FastFilter(emitter, operands, count).apply(value)


class _FastFilter:
    def __init__(self, emitter: Emitter, operands: Operands, count: int) -> None:
        self.emitter, self.operands, self.count = emitter, operands, count
        self._is_first = True
        #: Values of int32: sums of weights, and by the name of a phase the same widened.
        self._sums = set[str]()
        self._widened: dict[str, str] = {}

    def apply(self, value: str) -> str:
        emitter, operands, phases = self.emitter, self.operands, 2**self.count
        before, after = operands.padding
        taps = operands.taps
        frames = emitter.add("Shape", [value], "input_frames", start=1, end=2)
        more = emitter.constant("more_frames", np.array([before + after - taps + 1]))
        outputs = emitter.add("Add", [frames, more], "output_frames")
        # As many as all phases together give, and what the first shift of each halving reads.
        number = emitter.constant("phases", np.array([phases]))
        short = emitter.add("Mod", [emitter.add("Neg", [outputs], "missing"), number], "short")
        beyond = emitter.constant("beyond", np.array([after + 1 + 4 * (self.count - 1)]))
        end = emitter.add("Add", [short, beyond], "padding_after")
        start = emitter.constant("padding_before", np.array([0, before, 0, 0]))
        none = emitter.constant("no_padding", np.array([0]))
        amounts = emitter.add("Concat", [start, end, none], "padding", axis=0)
        zero = emitter.constant("padding_value", np.uint8(operands.zero_point))
        padded = emitter.add("Pad", [value, amounts, zero], "padded")
        found = self._filtered(padded, self._phases_of_weight(), operands.bias, operands.zero_point)
        joined = emitter.add("Concat", found, "phases_joined", axis=2)
        shape = emitter.constant("result_shape", np.array([0, -1, operands.outputs]))
        whole = emitter.add("Reshape", [joined, shape], "interleaved")
        return self._slice(whole, 1, 0, outputs)

    def _phases_of_weight(self) -> list[str]:
        """(taps of a phase · channels, outputs) of every 2 ** count-th tap, from each of them."""
        emitter, operands, phases = self.emitter, self.operands, 2**self.count
        per_phase = operands.taps // phases
        per_tap = operands.channels * operands.outputs
        layout = emitter.constant("by_phase", np.array([per_phase, phases, per_tap]))
        by_phase = emitter.add("Reshape", [operands.weight, layout], "weight_by_phase")
        shape = emitter.constant("phase_shape", np.array([-1, operands.outputs]))
        found = (self._slice(by_phase, 1, phase, phase + 1) for phase in range(phases))
        return [emitter.add("Reshape", [each, shape], "weight_phase") for each in found]

    def _filtered(
        self, value: str, weights: list[str], bias: str | None, zero_point: int
    ) -> list[str]:
        """The phases of the result, each (batch, frames, outputs).

        Args:
            value: with as many frames as the result and the filter have together, or, of one phase
                only, one less.
            weights: phases of the filter, in the order of its taps.
        """
        if len(weights) == 1:
            return [self._product(value, weights[0], bias, zero_point)]
        emitter, channels = self.emitter, self.operands.channels
        shape = emitter.constant("pair_shape", np.array([0, -1, 2 * channels]))
        pairs = emitter.add("Reshape", [value, shape], "pairs")
        even, odd = (self._slice(pairs, 2, start, start + channels) for start in (0, channels))
        # Halving again needs an even number of frames.
        spare = 1 if len(weights) == 2 else 2
        later = self._slice(even, 1, 1, 1 - spare or _TO_THE_END)
        odd = self._slice(odd, 1, 0, -spare)
        sums = [self._weight_sum(*pair) for pair in zip(*_halves(weights), strict=True)]
        twice = None if bias is None else emitter.add("Add", [bias, bias], "bias_sum")
        weights_even, weights_odd = _halves(weights)
        first = self._filtered(even, weights_even, bias, zero_point)
        second = self._filtered(odd, weights_odd, None, zero_point)
        both = self._input_sum(later, odd)
        third = self._filtered(both, sums, twice, 2 * zero_point)
        now = [self._slice(each, 1, 0, -1) for each in first]
        # A frame later is the next phase, and after the last one the first of the next frames.
        shifted = [*now[1:], self._slice(first[0], 1, 1, _TO_THE_END)]
        result = []
        for p, q, r, sp in zip(now, second, third, shifted, strict=True):
            result.append(emitter.add("Add", [p, q], "even_result"))
            known = emitter.add("Add", [sp, q], "known")
            result.append(emitter.add("Sub", [r, known], "odd_result"))
        return result

    def _product(self, value: str, weight: str, bias: str | None, zero_point: int) -> str:
        emitter, operands = self.emitter, self.operands
        taps = operands.taps // 2**self.count
        layout = emitter.constant("rows_shape", np.array([0, 0, taps * operands.channels]))
        rows = emitter.add("Reshape", [emitter.taps(value, taps), layout], "rows")
        if weight in self._sums:
            weight = emitter.add("Cast", [weight], "weight_bytes", to=TensorProto.INT8)
        inputs = [
            *(rows, weight, operands.input_scale, operands.weight_scale),
            emitter.constant(f"zero_point{zero_point}", np.uint8(zero_point)),
            emitter.constant("weight_zero_point", np.int8(0)),
            *([] if bias is None else [bias]),
        ]
        part, self._is_first = ("" if self._is_first else "product"), False
        return emitter.contributed("MatMulIntegerToFloat", inputs, part)

    def _input_sum(self, one: str, other: str) -> str:
        """Of two tensors of bytes, which is known to be one of bytes."""
        unit = self.emitter.constant("unit", np.float32(1.0))
        grid = [unit, self.emitter.constant("byte_zero", np.uint8(0))]
        return self.emitter.contributed("QLinearAdd", [one, *grid, other, *grid, *grid], "sum")

    def _weight_sum(self, *weights: str) -> str:
        """In int32: of bytes, ONNX Runtime adds no constants while it loads a session."""
        wide = [self._wide(each) for each in weights]
        found = self.emitter.add("Add", wide, "weight_sum")
        self._sums.add(found)
        return found

    def _wide(self, weight: str) -> str:
        if weight in self._sums:
            return weight
        if weight not in self._widened:
            wide = self.emitter.add("Cast", [weight], "weight_wide", to=TensorProto.INT32)
            self._widened[weight] = wide
        return self._widened[weight]

    def _slice(self, value: str, axis: int, start: int, stop: int | str) -> str:
        if isinstance(stop, int):
            stop = self.emitter.constant("stop", np.array([stop]))
        bounds = [self.emitter.constant("start", np.array([start])), stop]
        axes = self.emitter.constant("axis", np.array([axis]))
        return self.emitter.add("Slice", [value, *bounds, axes], "slice")


def _halves(phases: list[str]) -> tuple[list[str], list[str]]:
    """Those of even and of odd taps."""
    return phases[::2], phases[1::2]

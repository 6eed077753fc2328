"""The grids that a file rounds activations to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from quantkit.calibration.ranges import StoredGrid
from quantkit.graph.operators.sets import VALUE_PRESERVING
from quantkit.graph.plan import Compute
from quantkit.quantization.stored.places import Places

# Between the grid of a value and the float layer that reads it.
_MOVING = VALUE_PRESERVING | {"Where", "Slice", "Pad", "Split"}
_QUANTIZERS = frozenset({"QuantizeLinear", "DynamicQuantizeLinear"})
# Steps from an integer product back to what rounds its input.
_FARTHEST = 64


@dataclass(frozen=True)
class InputGrid:
    """How the input of a layer is rounded.

    Args:
        compute: ``static`` with a grid of the file, ``dynamic`` with one that is found at run time,
            ``float32`` with none.
        grid: of the file.
        scale: name of its scale, constant or not; empty where there is none.
    """

    compute: Compute
    grid: StoredGrid | None = None
    scale: str = ""


def grid_of(places: Places, scale: str, zero_point: str, bits: int = 8) -> StoredGrid | None:
    """The grid with these constants, from level 0 on; None where they are no numbers."""
    if not places.is_constant(scale):
        return None
    step = places.floats(scale)
    zero = places.array(zero_point) if places.is_constant(zero_point) else np.zeros((), np.uint8)
    if step.size != 1 or zero.size != 1:
        return None
    kind = zero.dtype
    bits = 8 * kind.itemsize if kind.kind in "iu" else bits
    lowest = -(2 ** (bits - 1)) if kind.kind == "i" else 0
    return StoredGrid.of(float(step.reshape(())), int(zero.reshape(())) - lowest, bits)


def integer_input(places: Places, value: str) -> InputGrid:
    """Of an integer product that reads ``value``."""
    quantize = _quantizer(places, value)
    if quantize is None:
        return InputGrid("dynamic")
    if quantize.op_type == "DynamicQuantizeLinear":
        return InputGrid("dynamic", scale=str(quantize.output[1]))
    names = [str(name) for name in quantize.input] + [""]
    scale, zero_point = names[1:3]
    # With a range for each clip, values were divided by it before.
    divided = places.producers.get(names[0])
    per_clip = divided is not None and divided.op_type == "Div"
    grid = None if per_clip else grid_of(places, scale, zero_point)
    if grid is None:
        return InputGrid("dynamic", scale=str(divided.input[1]) if per_clip and divided else scale)
    return InputGrid("static", grid, scale)


def float_input(places: Places, value: str) -> InputGrid:
    """Of a float kernel that reads ``value``, which may have been rounded before."""
    while (node := places.producers.get(value)) is not None:
        if node.op_type == "DequantizeLinear":
            names = [*node.input, ""]
            grid = grid_of(places, names[1], names[2])
            return InputGrid("float32") if grid is None else InputGrid("static", grid, names[1])
        if node.op_type not in _MOVING:
            return _spelled_out(places, node)
        value = next((str(n) for n in _data(node) if not places.is_constant(n)), "")
    return InputGrid("float32")


def output_grid(places: Places, value: str) -> StoredGrid | None:
    """Of a result that only its rounding reads, behind a ReLU where there is one."""
    node = places.only_reader(value)
    if node is not None and node.op_type in ("Relu", "Clip"):
        node = places.only_reader(str(node.output[0]))
    if node is None or node.op_type != "QuantizeLinear":
        return None
    names = [*node.input, ""]
    return grid_of(places, names[1], names[2])


def _spelled_out(places: Places, node: onnx.NodeProto) -> InputGrid:
    """``clip(round(x / scale), lowest, highest) · scale``, as emulated layers have it."""
    scale = str(node.input[1]) if node.op_type == "Mul" else ""
    clip = places.producers.get(str(node.input[0])) if scale else None
    if clip is None or clip.op_type != "Clip" or not places.is_constant(scale):
        return InputGrid("float32")
    rounded = places.producers.get(str(clip.input[0]))
    ends = [places.optional(clip, position) for position in (1, 2)]
    if rounded is None or rounded.op_type != "Round" or ends[0] is None or ends[1] is None:
        return InputGrid("float32")
    lowest, highest = (int(end.reshape(())) for end in ends if end is not None)
    bits = (highest - lowest).bit_length()
    step = float(places.floats(scale).reshape(()))
    return InputGrid("static", StoredGrid.of(step, -lowest, bits), scale)


def _data(node: onnx.NodeProto) -> list[str]:
    return [*(node.input[1:3] if node.op_type == "Where" else node.input[:1])]


def _quantizer(places: Places, value: str) -> onnx.NodeProto | None:
    """The nearest node before ``value`` that makes integers of floats."""
    front: list[str] = [value]
    seen = {value}
    for _ in range(_FARTHEST):
        makers = [places.producers[name] for name in front if name in places.producers]
        for node in makers:
            if node.op_type in _QUANTIZERS:
                return node
        front = [str(n) for node in makers for n in node.input if n and n not in seen]
        front = [name for name in dict.fromkeys(front) if not places.is_constant(name)]
        seen.update(front)
        if not front:
            break
    return None

"""The first half of an integer layer: a float activation becomes uint8, in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantkit.quantize.editor import GraphEditor
from quantkit.quantize.ranges import Range

# float32 keeps its full relative precision down to here; smaller scales mean silence.
_SMALLEST_SCALE = 1e-30

# Operators whose result is never negative.
_NONNEGATIVE = frozenset(
    {"Relu", "Sigmoid", "Softmax", "Abs", "Exp", "Sqrt", "HardSigmoid", "Softplus"}
)
# Operators that move values about but make no new ones.
VALUE_PRESERVING = frozenset(
    {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"}
)


@dataclass(frozen=True)
class QuantizedActivation:
    """Names of the uint8 value, its zero point, and its scale.

    ``scale`` is a scalar, or one number per clip, shaped to multiply a result of the clip.
    """

    value: str
    scale: str
    zero_point: str
    per_clip: bool = False


def static_grid(bounds: Range) -> tuple[np.float32, np.uint8]:
    """Scale and zero point of the asymmetric uint8 grid over ``bounds``, which zero lies on.

    The same numbers as ``onnxruntime.quantization`` computes, so that a value which passes
    through both is quantized once.
    """
    lowest, highest = np.float32(min(bounds.lowest, 0.0)), np.float32(max(bounds.highest, 0.0))
    scale = (highest.astype(np.float64) - lowest.astype(np.float64)) / 255.0
    if scale < np.finfo(np.float32).tiny:
        return np.float32(1.0), np.uint8(0)
    zero_point = np.uint8(np.clip(np.rint(0.0 - lowest / scale), 0, 255))
    return np.float32(scale), zero_point


def quantize_static(
    editor: GraphEditor, source: str, prefix: str, bounds: Range, nodes: list[onnx.NodeProto]
) -> QuantizedActivation:
    """Append a ``QuantizeLinear`` with a constant grid."""
    scale, zero_point = static_grid(bounds)
    scale_name = editor.constant(f"{prefix}.input_scale", scale)
    zero_name = editor.constant(f"{prefix}.input_zero_point", zero_point)
    value = editor.free_name(f"{prefix}.input_uint8")
    nodes.append(
        helper.make_node(
            "QuantizeLinear", [source, scale_name, zero_name], [value], f"{prefix}/quantize"
        )
    )
    return QuantizedActivation(value, scale_name, zero_name)


def quantize_per_batch(
    editor: GraphEditor, source: str, prefix: str, nodes: list[onnx.NodeProto]
) -> QuantizedActivation:
    """Append a ``DynamicQuantizeLinear``: one range over the whole tensor, batch mates included."""
    value, scale, zero_point = (
        editor.free_name(f"{prefix}.input_{part}") for part in ("uint8", "scale", "zero_point")
    )
    nodes.append(
        helper.make_node(
            "DynamicQuantizeLinear", [source], [value, scale, zero_point], f"{prefix}/quantize"
        )
    )
    return QuantizedActivation(value, scale, zero_point)


def quantize_per_clip(
    editor: GraphEditor,
    source: str,
    prefix: str,
    nonnegative: bool,
    nodes: list[onnx.NodeProto],
    rank: int | None = None,
) -> QuantizedActivation:
    """Append a range of its own for every index of the first dimension.

    Integer kernels take one zero point for all clips, so it is fixed: 0 and 255 steps for values
    that are never negative, else 128 and 127 steps either side. Needs opset 18.

    Args:
        rank: dimensions of ``source`` where known; ONNX Runtime then moves transpositions past
            the reduction and cancels them.
    """

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{prefix}/{part}", **attributes))
        return output

    zero_point = editor.constant(f"{prefix}.input_zero_point", np.uint8(0 if nonnegative else 128))
    steps = np.float32(1.0 / (255 if nonnegative else 127))
    if rank is not None:
        axes = editor.constant(f"{prefix}.clip_axes", np.arange(1, rank, dtype=np.int64))
    else:
        one = editor.constant(f"{prefix}.one", np.int64(1))
        size = add("Size", [add("Shape", [source], "input_shape")], "input_rank")
        axes = add("Range", [one, size, one], "clip_axes")
    magnitude = source if nonnegative else add("Abs", [source], "magnitude")
    largest = add("ReduceMax", [magnitude, axes], "largest", keepdims=1)
    raw = add("Mul", [largest, editor.constant(f"{prefix}.step", steps)], "raw_scale")
    floor = editor.constant(f"{prefix}.smallest_scale", np.float32(_SMALLEST_SCALE))
    scale = add("Max", [raw, floor], "input_scale")
    unit = editor.constant(f"{prefix}.unit_scale", np.float32(1.0))
    scaled = add("Div", [source, scale], "scaled")
    value = add("QuantizeLinear", [scaled, unit, zero_point], "input_uint8")
    return QuantizedActivation(value, scale, zero_point, per_clip=True)


def never_negative(editor: GraphEditor, name: str) -> bool:
    """Whether the graph shows that the value ``name`` holds nothing below zero."""
    node = editor.producers.get(name)
    while node is not None and node.op_type in VALUE_PRESERVING:
        node = editor.producers.get(node.input[0])
    if node is None:
        return False
    if node.op_type == "Where":
        return all(_never_negative_or_constant(editor, branch) for branch in node.input[1:3])
    if node.op_type == "Clip" and len(node.input) > 1 and node.input[1]:
        low = editor.array(node.input[1])
        return low is not None and bool((low >= 0).all())
    if node.op_type == "DequantizeLinear" and len(node.input) > 2:
        zero_point = editor.array(node.input[2])
        return zero_point is not None and zero_point.dtype == np.uint8 and not zero_point.any()
    return node.op_type in _NONNEGATIVE


def _never_negative_or_constant(editor: GraphEditor, name: str) -> bool:
    value = editor.array(name)
    return bool((value >= 0).all()) if value is not None else never_negative(editor, name)

"""The first half of an integer layer: a float activation becomes uint8, in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.calibration.ranges import Range, StoredGrid
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.sets import VALUE_PRESERVING

# float32 keeps its full relative precision down to here; smaller scales mean silence.
_SMALLEST_SCALE = 1e-30

# Operators whose result is never negative.
_NONNEGATIVE = frozenset(
    {"Relu", "Sigmoid", "Softmax", "Abs", "Exp", "Sqrt", "HardSigmoid", "Softplus"}
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


def static_grid(bounds: Range, bits: int = 8) -> tuple[np.float32, int]:
    """Scale and zero point of the asymmetric grid of 0 … 2**bits - 1 over ``bounds``.

    Zero lies on the grid. At 8 bits these are the numbers that ``onnxruntime.quantization``
    computes, so that a value which passes through both is quantized once. A grid that was read from
    a file stays what it is.
    """
    if isinstance(bounds, StoredGrid) and bounds.bits == bits:
        return np.float32(bounds.scale), bounds.zero_point
    steps = 2**bits - 1
    lowest, highest = np.float32(min(bounds.lowest, 0.0)), np.float32(max(bounds.highest, 0.0))
    scale = (highest.astype(np.float64) - lowest.astype(np.float64)) / steps
    if scale < np.finfo(np.float32).tiny:
        return np.float32(1.0), 0
    zero_point = int(np.clip(np.rint(0.0 - lowest / scale), 0, steps))
    return np.float32(scale), zero_point


def clip_to_bits(editor: GraphEditor, value: str, bits: int, nodes: list[onnx.NodeProto]) -> str:
    """Append a ``Clip`` that keeps a uint8 value on a grid of fewer bits; returns its name."""
    lowest = editor.constant("activation.lowest", np.uint8(0))
    highest = editor.constant(f"activation.highest_of_{bits}_bits", np.uint8(2**bits - 1))
    clipped = editor.free_name(f"{value}.{bits}_bits")
    nodes.append(helper.make_node("Clip", [value, lowest, highest], [clipped], clipped))
    return clipped


def quantize_static(
    editor: GraphEditor,
    source: str,
    prefix: str,
    bounds: Range,
    nodes: list[onnx.NodeProto],
    bits: int = 8,
) -> QuantizedActivation:
    """Append a ``QuantizeLinear`` with a constant grid of at most 8 bits."""
    scale, zero_point = static_grid(bounds, bits)
    scale_name = editor.constant(f"{prefix}.input_scale", scale)
    zero_name = editor.constant(f"{prefix}.input_zero_point", np.uint8(zero_point))
    value = editor.free_name(f"{prefix}.input_uint8")
    nodes.append(
        helper.make_node(
            "QuantizeLinear", [source, scale_name, zero_name], [value], f"{prefix}/quantize"
        )
    )
    if bits < 8:
        value = clip_to_bits(editor, value, bits, nodes)
    return QuantizedActivation(value, scale_name, zero_name)


def quantize_per_batch(
    editor: GraphEditor, source: str, prefix: str, nodes: list[onnx.NodeProto], bits: int = 8
) -> QuantizedActivation:
    """Append a range over the whole tensor, batch mates included: ``DynamicQuantizeLinear``.

    That operator has 8 bits only; with fewer its formula is spelled out.
    """
    if bits < 8:
        return _spelled_out_per_batch(editor, source, prefix, nodes, bits)
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
    bits: int = 8,
) -> QuantizedActivation:
    """Append a range of its own for every index of the first dimension.

    Integer kernels take one zero point for all clips, so it is fixed: 0 and 2**bits - 1 steps
    for values that are never negative, else 2**(bits - 1) and one step fewer either side (at 8
    bits 128 and 127). Needs opset 18.

    Args:
        rank: dimensions of ``source`` where known; ONNX Runtime then moves transpositions past
            the reduction and cancels them.
    """

    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{prefix}/{part}", **attributes))
        return output

    middle = 2 ** (bits - 1)
    zero_point = editor.constant(
        f"{prefix}.input_zero_point", np.uint8(0 if nonnegative else middle)
    )
    # One bit has no step either side of a zero: half of the values round to it.
    steps = np.float32(1.0 / (2**bits - 1 if nonnegative else max(middle - 1, 1)))
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


def _spelled_out_per_batch(
    editor: GraphEditor, source: str, prefix: str, nodes: list[onnx.NodeProto], bits: int
) -> QuantizedActivation:
    def add(op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = editor.free_name(f"{prefix}.{part}")
        nodes.append(helper.make_node(op, inputs, [output], f"{prefix}/{part}", **attributes))
        return output

    zero = editor.constant(f"{prefix}.zero", np.float32(0.0))
    lowest = add("Min", [add("ReduceMin", [source], "smallest", keepdims=0), zero], "lowest")
    highest = add("Max", [add("ReduceMax", [source], "largest", keepdims=0), zero], "highest")
    step = editor.constant(f"{prefix}.step", np.float32(1.0 / (2**bits - 1)))
    span = add("Mul", [add("Sub", [highest, lowest], "span"), step], "raw_scale")
    floor = editor.constant(f"{prefix}.smallest_scale", np.float32(_SMALLEST_SCALE))
    scale = add("Max", [span, floor], "input_scale")
    below = add("Neg", [add("Div", [lowest, scale], "steps_below")], "steps_up")
    zero_point = add(
        "Cast", [add("Round", [below], "rounded")], "input_zero_point", to=TensorProto.UINT8
    )
    value = add("QuantizeLinear", [source, scale, zero_point], "input_uint8")
    return QuantizedActivation(clip_to_bits(editor, value, bits, nodes), scale, zero_point)


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

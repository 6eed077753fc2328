"""Images whose channels ONNX Runtime laid in blocks of 8 or 16, for the vectors of one processor.

A value (B, C, H, W) lies as (B, C/b, H, W, b) there, and C is filled up with zeros to a multiple of
the block b. Its declared shape is (B, C, H, W). The weights of convolutions lie in blocks, too: as
(O/b, I/b, H, W, b of I, b of O), or as (O/b, I, H, W, b) where the input has fewer channels than a
block, or each channel its own kernel. A file does not say how large its blocks are: ONNX Runtime
takes those of the processor it runs on, and so do the functions here. In standard operators the
channels that fill up the last block stay.

Reference: E. Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD
Architectures", 2018, section II.C, for the layout.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from quantkit.arrays import FloatArray
from quantkit.conversion.contrib.builder import Parts, Unclear
from quantkit.conversion.contrib.products import fused_conv
from quantkit.disk.temporary import TemporaryFolder
from quantkit.runtime.session import session_options

BLOCKED = "com.microsoft.nchwc"
_POOL = ("auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides")


def reorder_input(parts: Parts) -> None:
    """``ReorderInput``: (B, C, H, W), or (B, H, W, C), to blocks."""
    parts.require_only(("channels_last",), 1, 1)
    value = parts.input(0)
    rank = parts.rank(value)
    if parts.attributes.get("channels_last"):
        value = parts.add("Transpose", [value], perm=[0, rank - 1, *range(1, rank - 1)])
    # How many channels are missing may be known only when the graph runs.
    channels = parts.add("Shape", [value], start=1, end=2)
    missing = parts.add("Mod", [parts.add("Neg", [channels]), parts.ints(_block())])
    pads = parts.add("Concat", [parts.ints(0), missing], axis=0)
    axis = parts.ints(1)
    parts.add("Pad", [value, pads, parts.scalar(0), axis], parts.output(0))


def reorder_output(parts: Parts) -> None:
    """``ReorderOutput``: blocks to (B, C, H, W), or (B, H, W, C), of ``channels``."""
    parts.require_only(("channels", "channels_last"), 1, 1)
    last = parts.attributes.get("channels_last")
    rank = parts.rank(parts.input(0)) if last else 0
    channels = int(parts.attributes["channels"])
    sliced = parts.add(
        "Slice",
        [parts.input(0), parts.ints(0), parts.ints(channels), parts.ints(1)],
        "" if last else parts.output(0),
    )
    if last:
        parts.add("Transpose", [sliced], parts.output(0), perm=[0, *range(2, rank), 1])


def blocked_conv(parts: Parts) -> None:
    """``Conv`` of blocks: that of ``FusedConv``, with the weights in their usual order."""
    stored = parts.scope.array(parts.input(1))
    if stored is None or stored.ndim != 4 or stored.dtype != np.float32:
        raise Unclear("its weights are not known")
    weight = _in_order(stored, int(parts.attributes.get("group", 1)), _block())
    name = parts.node.name.removesuffix("_nchwc")
    inputs = list(parts.node.input)
    inputs[1] = parts.constant(weight)
    node = onnx.NodeProto()
    node.CopyFrom(parts.node)
    node.name = name
    del node.input[:]
    node.input.extend(inputs)
    inner = Parts(parts.scope, node, parts.types)
    fused_conv(inner)
    parts.nodes.extend(inner.nodes)


def blocked_max_pool(parts: Parts) -> None:
    """``MaxPool`` of blocks."""
    parts.require_only((*_POOL, "storage_order"), 1, 1)
    parts.add("MaxPool", [parts.input(0)], parts.output(0), parts.node.name, **parts.attributes)


def blocked_average_pool(parts: Parts) -> None:
    """``AveragePool`` of blocks."""
    parts.require_only((*_POOL, "count_include_pad"), 1, 1)
    attributes = dict(parts.attributes)
    dilations = attributes.pop("dilations", ())
    if any(each != 1 for each in dilations):
        raise Unclear("opset 18 has no such average")
    parts.add("AveragePool", [parts.input(0)], parts.output(0), parts.node.name, **attributes)


def blocked_global_pool(parts: Parts) -> None:
    """``GlobalMaxPool`` and ``GlobalAveragePool`` of blocks."""
    parts.require_only((), 1, 1)
    parts.add(parts.node.op_type, [parts.input(0)], parts.output(0), parts.node.name)


def _in_order(stored: FloatArray, groups: int, block: int) -> FloatArray:
    """Weights (O, I, H, W) of those in blocks, which have the same shape.

    Raises:
        Unclear: their channels do not fill blocks of that size.
    """
    outputs, inputs, height, width = stored.shape
    of_inputs = 1 if inputs < block else block
    if outputs % block or inputs % of_inputs or (groups > 1 and inputs == 1 and groups % block):
        raise Unclear(f"its channels do not fill blocks of {block}")
    blocks = stored.reshape(outputs // block, inputs // of_inputs, height, width, of_inputs, block)
    return np.ascontiguousarray(blocks.transpose(0, 5, 1, 4, 2, 3)).reshape(stored.shape)


@functools.cache
def _block() -> int:
    """Channels of a block on this processor, found by letting ONNX Runtime write one.

    Raises:
        Unclear: there are no blocks on this processor.
    """
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "block",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 1, 1])],
        [numpy_helper.from_array(np.ones((4, 1, 1, 1), np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    with TemporaryFolder("block") as folder:
        options = session_options()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.optimized_model_filepath = str(folder / "block.onnx")
        # It warns of what is wanted here.
        options.log_severity_level = 3
        onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        written = onnx.load(folder / "block.onnx")
    for each in written.graph.initializer:
        if len(each.dims) == 4 and written.graph.node[0].domain == BLOCKED:
            return int(each.dims[0])
    raise Unclear("this processor has no blocks")

"""Masks over images, row by row instead of channel by channel.

A FastConformer begins with convolutions over (channels, frames, bands), and a frame behind the
clip's end is masked in each of 256 channels: as many short runs of bytes, 40 of them in the first
place. ``Where`` takes its time for each run. With the channels last, a frame is one run of 10,240
bytes. A static convolution reads its input so anyway, so a transposition moves, and none is added.

Rewrite rule, for a float ``Conv`` behind a ReLU or not, x (batch, channels, rows, columns) of it,
and ``inside`` (batch, 1, rows, 1):

1. ``Where(inside, QuantizeLinear(x), zero point)`` → ``Transpose(Reshape(Where(inside',
   QuantizeLinear(Reshape(Transpose(x))), zero point)))``, with ``inside'`` (batch, rows, 1) over
   (batch, rows, columns · channels).

The reshaping also keeps ONNX Runtime from moving the transpositions back. Results are the same
bytes. Measured by ``python -m benchmarks.subsampling``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators import operator_of
from quantkit.graph.zero_mask import mask_sizes

_ROWS_LAST, _CHANNELS_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


def mask_whole_rows(editor: GraphEditor) -> None:
    """Apply the rule above wherever it fits."""
    for node in [n for n in editor.nodes if n.op_type == "Where"]:
        quantize = editor.producers.get(node.input[1])
        if quantize is None or not _is_laid_over(editor, node, quantize):
            continue
        channels = _channels(editor, quantize.input[0])
        sizes = mask_sizes(editor, node.input[0])
        if channels and len(sizes) == 4 and sizes[1] == sizes[3] == 1:
            _rewrite(editor, node, quantize, channels)


def _is_laid_over(editor: GraphEditor, mask: onnx.NodeProto, quantize: onnx.NodeProto) -> bool:
    """Whether ``mask`` has the bytes of ``quantize``, and its zero point elsewhere."""
    if quantize.op_type != "QuantizeLinear" or len(quantize.input) < 3:
        return False
    scale = editor.shape(quantize.input[1])
    is_one_grid = scale is not None and int(np.prod(scale)) == 1
    alone = editor.only_consumer(quantize.output[0]) is mask
    return is_one_grid and alone and mask.input[2] == quantize.input[2]


def _channels(editor: GraphEditor, value: str) -> int:
    """Of the image that a float convolution alone makes of floats; 0 for another value."""
    producer = editor.producers.get(value)
    if producer is not None and producer.op_type == "Relu":
        producer = editor.producers.get(producer.input[0])
    operator = None if producer is None else operator_of(producer)
    if producer is None or operator is None or operator.result_axis != 1:
        return 0
    shape = editor.shape(producer.input[1])
    # Integer convolutions have no constant here, but a DequantizeLinear.
    if shape is None or len(shape) != 4 or operator.channel_axis(editor, producer, 4) != 0:
        return 0
    return shape[0]


def _rewrite(
    editor: GraphEditor, mask: onnx.NodeProto, quantize: onnx.NodeProto, channels: int
) -> None:
    name, value = mask.name, quantize.input[0]

    def made(op: str, *operands: str, **attributes: Any) -> onnx.NodeProto:
        result = editor.free_name(f"{name}.{op.lower()}")
        return helper.make_node(op, [*operands], [result], result, **attributes)

    rows = editor.constant("rows", np.array([0, 0, -1]))
    image = editor.constant("image", np.array([0, 0, -1, channels]))
    last = editor.constant("last_axis", np.array([3]))
    turned = made("Transpose", value, perm=_ROWS_LAST)
    flat = made("Reshape", turned.output[0], rows)
    inside = made("Squeeze", mask.input[0], last)
    along = made("Transpose", inside.output[0], perm=[0, 2, 1])
    rounded, masked = copy_node(quantize), copy_node(mask)
    rounded.input[0] = flat.output[0]
    masked.input[0] = along.output[0]
    masked.output[0] = editor.free_name(f"{name}.rows")
    shaped = made("Reshape", masked.output[0], image)
    back = made("Transpose", shaped.output[0], perm=_CHANNELS_FIRST)
    back.output[0] = mask.output[0]
    editor.replace(mask, [inside, along, masked, shaped, back])
    editor.replace(quantize, [turned, flat, rounded])

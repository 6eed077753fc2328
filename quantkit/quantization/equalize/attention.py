"""The values of multi-head attention, as exporters of PyTorch spell it out.

``(batch, time, channels)`` is split into heads, averaged over time with the weights of each head,
and merged again: channel c of the result is an average of channel c of the values.
"""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.passes.match import only_consumer

_SWAP_TIME_AND_HEADS = [0, 2, 1, 3]


def attended_value(editor: GraphEditor, split: onnx.NodeProto, channels: int) -> str | None:
    """What the values that the ``Reshape`` ``split`` divides into heads become.

    Matches ``Reshape`` to (batch, time, heads, size), ``Transpose``, ``MatMul`` from the left by
    the attention, ``Transpose`` and ``Reshape`` to (batch, time, channels).

    Args:
        channels: last dimension of what is split.

    Returns:
        the name of the merged result; None where ``split`` begins something else.
    """
    heads = only_consumer(editor, split.output[0])
    if heads is None or not _swaps(editor, heads):
        return None
    product = only_consumer(editor, heads.output[0])
    if product is None or product.op_type != "MatMul" or product.input[0] == heads.output[0]:
        return None
    averaged = only_consumer(editor, product.output[0])
    if averaged is None or not _swaps(editor, averaged):
        return None
    merged = only_consumer(editor, averaged.output[0])
    if merged is None or merged.op_type != "Reshape":
        return None
    divided, whole = (_dimensions(editor, node.input[1]) for node in (split, merged))
    if len(divided) != 4 or len(whole) != 3 or divided[:2] != whole[:2]:
        return None
    count, size = divided[2:]
    # Where the number of heads is left open, it follows from the same batch and time before and
    # after: the rows that the next layer reads are whole again.
    if not isinstance(size, int) or size < 1 or channels % size or whole[2] not in (-1, channels):
        return None
    fits = count == channels // size or (count == -1 and -1 not in divided[:2])
    return str(merged.output[0]) if fits else None


def _swaps(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    order = editor.attributes(node).get("perm")
    return node.op_type == "Transpose" and order == _SWAP_TIME_AND_HEADS


def _dimensions(editor: GraphEditor, shape: str) -> list[int | str]:
    """The numbers in ``shape``; the name of its value for one that is computed."""
    constant = editor.array(shape)
    if constant is not None:
        return [int(size) for size in constant.reshape(-1)]
    maker = editor.producers.get(shape)
    if maker is None or maker.op_type != "Concat":
        return []
    sizes: list[int | str] = []
    for name in maker.input:
        part = editor.array(name)
        sizes += [str(name)] if part is None else [int(size) for size in part.reshape(-1)]
    return sizes

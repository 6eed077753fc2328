"""``Gemm`` in the one form that all else knows: ``A · B + C``, with one number of ``C`` a channel.

ONNX lets it scale both terms, and lets ``C`` be of any shape that broadcasts. What is constant
takes up its factor; a ``C`` that is no bias is added behind the product.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators.gemm import Gemm


def make_gemms_plain(model: onnx.ModelProto) -> None:
    """Rewrite every float32 ``Gemm`` with a constant ``B`` that is not in that form, in place."""
    editor = GraphEditor(model)
    odd = [node for node in editor.nodes if node.op_type == Gemm.name and _is_odd(editor, node)]
    for node in odd:
        _make_plain(editor, node)
    if odd:
        editor.finish()


def _is_odd(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    weight = editor.array(node.input[1])
    if weight is None or weight.dtype != np.float32:
        return False
    attributes, bias = editor.attributes(node), editor.input_array(node, 2)
    if attributes.get("alpha", 1.0) != 1.0:
        return True
    scaled = attributes.get("beta", 1.0) != 1.0
    return bias is not None and (scaled or bias.shape != (_channels(editor, node),))


def _make_plain(editor: GraphEditor, node: onnx.NodeProto) -> None:
    attributes = editor.attributes(node)
    plain, bias = copy_node(node), editor.input_array(node, 2)
    # What is computed while the model runs keeps its factor.
    folded = ("alpha",) if bias is None else ("alpha", "beta")
    for index in reversed(range(len(plain.attribute))):
        if plain.attribute[index].name in folded:
            del plain.attribute[index]
    nodes = [plain]
    if (alpha := attributes.get("alpha", 1.0)) != 1.0:
        weight = cast(npt.NDArray[np.float32], editor.array(node.input[1]))
        plain.input[1] = editor.constant(f"{node.input[1]}.scaled", weight * np.float32(alpha))
    beta, channels = np.float32(attributes.get("beta", 1.0)), _channels(editor, node)
    if bias is not None and (bias.size == 1 or bias.shape[-1] == bias.size == channels):
        values = np.broadcast_to(beta * bias.reshape(-1), (channels,))
        plain.input[2] = editor.constant(f"{node.input[2]}.vector", values)
    elif bias is not None:
        del plain.input[2]
        plain.output[0] = editor.free_name(f"{node.output[0]}.product")
        added = editor.constant(f"{node.input[2]}.added", beta * bias)
        inputs = [plain.output[0], added]
        nodes.append(helper.make_node("Add", inputs, node.output, f"{node.name}/added"))
    editor.replace(node, nodes)


def _channels(editor: GraphEditor, node: onnx.NodeProto) -> int:
    weight = editor.array(node.input[1])
    assert weight is not None
    return int(weight.shape[0 if editor.attributes(node).get("transB", 0) else 1])

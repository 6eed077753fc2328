"""Products with a weight on their left, as products with it on their right.

``W @ xᵀ`` and its transposition are ``x @ Wᵀ``. Exporters write the former for the projection onto
a vocabulary, so that the embedding is read as it lies; integer kernels want the latter, and the
transposition of a weight is gone once a file was opened.
"""

from __future__ import annotations

import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor

_SWAPPED = [0, 2, 1]


def put_weights_right(model: onnx.ModelProto) -> list[str]:
    """Rewrite such products of (batch, tokens, width) values, in place.

    Returns:
        what was done, in words.
    """
    editor = GraphEditor(model)
    done = []
    for node in [*editor.nodes]:
        if node.op_type != "MatMul" or not editor.is_constant(node.input[0]):
            continue
        weight = str(node.input[0])
        ahead = editor.producers.get(node.input[1])
        behind = editor.only_consumer(node.output[0])
        if len(editor.shape(weight) or ()) != 2 or ahead is None or behind is None:
            continue
        if not all(_swaps(editor, each) for each in (ahead, behind)):
            continue
        turned = f"{node.name}.weight"
        rows = helper.make_node("Transpose", [weight], [turned], turned, perm=[1, 0])
        product = helper.make_node(
            "MatMul", [ahead.input[0], turned], [behind.output[0]], node.name
        )
        editor.replace(behind, [])
        editor.replace(node, [rows, product])
        if not editor.consumers.get(ahead.output[0]):
            editor.replace(ahead, [])
        done.append(f"{node.name} reads its weight from the right")
    editor.finish()
    return done


def _swaps(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    return node.op_type == "Transpose" and editor.attributes(node).get("perm") == _SWAPPED

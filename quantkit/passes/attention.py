"""Attention without a mask as one operator.

ONNX Runtime's ``MultiHeadAttention`` (com.microsoft; 1.17 has it) computes scores, softmax and
mixing block by block, so that scores stay in the cache of the processor (T. Dao et al.,
"FlashAttention", 2022). Over the 1,500 frames of a Whisper's encoder that takes a fifth off. ONNX
Runtime does it only where nothing is added to the scores, so attention with a mask stays as it is.

Rewrite rule, for queries, keys and values (clips, steps, heads, size):

1. ``Transpose(MatMul(Softmax(s · MatMul(qᵀ, kᵀ)), vᵀ))``, where qᵀ and vᵀ have heads before steps
   and kᵀ has its steps last, → ``MultiHeadAttention(q, k, v)``, whose operands are (clips, steps,
   heads · size).
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.opset import CONTRIBUTED, import_contributed
from quantkit.passes.match import only_consumer, remove_unused, split_scalar

_HEADS_FIRST, _STEPS_LAST, _SWAPPED = [0, 2, 1, 3], [0, 2, 3, 1], [0, 1, 3, 2]


def fuse_attention(model: onnx.ModelProto) -> bool:
    """Apply the rule above in place; returns whether it did."""
    editor = GraphEditor(model)
    found = False
    for softmax in [n for n in editor.nodes if n.op_type == "Softmax"]:
        found |= _rewrite(editor, softmax)
    if found:
        editor.finish()
        import_contributed(model)
    return found


def _rewrite(editor: GraphEditor, softmax: onnx.NodeProto) -> bool:
    if editor.attributes(softmax).get("axis", -1) not in (-1, 3):
        return False
    scale, product = _scaled_product(editor, softmax.input[0])
    mixing = only_consumer(editor, softmax.output[0])
    if product is None or mixing is None or mixing.op_type != "MatMul":
        return False
    if mixing.input[0] != softmax.output[0]:
        return False
    joined = only_consumer(editor, mixing.output[0])
    if joined is None or _order(editor, joined) != _HEADS_FIRST:
        return False
    queries = _before(editor, product.input[0], _HEADS_FIRST)
    keys = _before(editor, product.input[1], _STEPS_LAST)
    values = _before(editor, mixing.input[1], _HEADS_FIRST)
    heads = _heads(editor, queries)
    if not (queries and keys and values and heads):
        return False
    _replace(editor, joined, [queries, keys, values], heads, scale)
    return True


def _replace(
    editor: GraphEditor, joined: onnx.NodeProto, operands: list[str], heads: int, scale: float
) -> None:
    name = joined.name
    flat = editor.constant(f"{name}.flat", np.array([0, 0, -1]))
    nodes, rows = [], []
    for operand, letter in zip(operands, "qkv", strict=True):
        rows.append(editor.free_name(f"{name}.{letter}"))
        nodes.append(helper.make_node("Reshape", [operand, flat], [rows[-1]], rows[-1]))
    mixed = editor.free_name(f"{name}.mixed")
    shape = editor.constant(f"{name}.by_head", np.array([0, 0, heads, -1]))
    nodes += [
        helper.make_node(
            "MultiHeadAttention",
            rows,
            [mixed],
            mixed,
            domain=CONTRIBUTED,
            num_heads=heads,
            scale=scale,
        ),
        helper.make_node("Reshape", [mixed, shape], list(joined.output), name),
    ]
    mixing = editor.producers[joined.input[0]]
    editor.replace(joined, nodes)
    remove_unused(editor, mixing)


def _scaled_product(editor: GraphEditor, value: str) -> tuple[float, onnx.NodeProto | None]:
    """The product of which ``value`` is a multiple, and by what."""
    node = editor.producers.get(value)
    scale = 1.0
    if node is not None and node.op_type in ("Mul", "Div"):
        split = split_scalar(editor, node)
        if split is None or only_consumer(editor, value) is None:
            return scale, None
        if node.op_type == "Div" and (split[0] != node.input[0] or not split[1]):
            return scale, None
        scale = split[1] if node.op_type == "Mul" else 1 / split[1]
        node = editor.producers.get(split[0])
    # ONNX Runtime takes a scale of 0 for none given.
    known = node is not None and node.op_type == "MatMul" and scale != 0
    return scale, node if known else None


def _order(editor: GraphEditor, node: onnx.NodeProto) -> list[int]:
    is_transpose = node.op_type == "Transpose"
    return list(editor.attributes(node).get("perm", ())) if is_transpose else []


def _before(editor: GraphEditor, value: str, order: list[int]) -> str:
    """What ``value`` was before transpositions that amount to ``order``; else nothing."""
    node = editor.producers.get(value)
    # What others read is computed anyhow, such as states that go from an encoder to its decoder.
    if node is None or only_consumer(editor, value) is None:
        return ""
    found = _order(editor, node)
    if found == order:
        return str(node.input[0])
    if order == _STEPS_LAST and found == _SWAPPED:
        return _before(editor, node.input[0], _HEADS_FIRST)
    return ""


def _heads(editor: GraphEditor, value: str) -> int:
    """Heads of a value (clips, steps, heads, size) that was reshaped to that; 0 if unknown."""
    node = editor.producers.get(value)
    if node is None or node.op_type != "Reshape":
        return 0
    shape = editor.array(node.input[1])
    if shape is not None:
        return max(0, int(shape[2])) if shape.size == 4 else 0
    joined = editor.producers.get(node.input[1])
    if joined is None or joined.op_type != "Concat" or len(joined.input) != 4:
        return 0
    heads = editor.array(joined.input[2])
    return max(0, int(heads.reshape(()))) if heads is not None and heads.size == 1 else 0

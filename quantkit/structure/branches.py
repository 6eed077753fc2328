"""Branches beside a residual connection that hardly matter make their mean alone.

A layer's result y reaches a sum with x, of which the layer is itself computed: x + f(x). With
y ≈ m, its mean over unlabelled audio, nothing that only this layer needs has to be computed: a
feed-forward block, or an attention. It is the layer of rank 0 (see
:mod:`quantkit.structure.low_rank`), and what is left of whole residual blocks that are dropped (A.
Fan, E. Grave and A. Joulin, "Reducing Transformer Depth on Demand with Structured Dropout", 2020).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.errors import FormatError
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.graph.operators.passing import adds, scales
from quantkit.structure.layers import Seen


def branch_ends(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Layers that could make their mean alone, and those that only they need, in graph order."""
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    found: dict[str, tuple[str, ...]] = {}
    for name, weight in weights.items():
        if weight.matrix_shape is not None and _ends_a_branch(editor, weight):
            dead = _dead_without(editor, weight)
            # In an order that is the same in every run.
            found[name] = tuple(
                n for n, each in weights.items() if id(each.node) in dead and each.value
            )
    return found


def keep_means(
    model: onnx.ModelProto, names: Collection[str], seen: Mapping[str, Seen] | None
) -> None:
    """Let each of the layers ``names`` make the mean of what it computes alone, in place.

    Args:
        seen: of these layers; None: zeros, for what depends on shapes only.

    Raises:
        FormatError: a layer does not end a branch beside a residual connection.
    """
    ends = branch_ends(model)
    for name in names:
        if name not in ends:
            raise FormatError(
                f"layer {name} cannot make its mean alone: it does not end a branch beside a "
                "residual connection"
            )
        editor = GraphEditor(model)
        weight = layer_weights(editor)[name]
        made = _mean(weight, None if seen is None else seen[name])
        axis = weight.operator.output_axis(editor, weight.node)
        behind = _dimensions_behind(weight, axis)
        constant = editor.constant(f"{name}.mean", made.reshape(-1, *(1,) * behind))
        editor.redirect(str(weight.node.output[0]), constant)
        editor.replace(weight.node, [])
        editor.finish()
    if names:
        drop_dead_nodes(model.graph)
        drop_unread_initializers(model.graph)


def _mean(weight: LayerWeight, seen: Seen | None) -> FloatArray:
    shape = weight.matrix_shape
    assert shape is not None
    mean = np.zeros(shape[0]) if seen is None else seen.output.mean
    own = weight.own_bias()
    return np.asarray(mean if own is None else mean + own, np.float32)


def _dimensions_behind(weight: LayerWeight, axis: int) -> int:
    """Of the layer's result, behind that of its channels."""
    if axis < 0:
        return -1 - axis
    shape = weight.editor.shape(weight.value)
    assert shape is not None
    return len(shape) - 1 - axis


def _ends_a_branch(editor: GraphEditor, weight: LayerWeight) -> bool:
    """Whether the result goes into one sum, with a value that the layer is computed from."""
    value = str(weight.node.output[0])
    before = _ancestors(editor, weight.node)
    while (node := editor.only_consumer(value)) is not None:
        others = [str(name) for name in node.input if name != value]
        if len(others) != 1 or len(node.output) != 1:
            return False
        if editor.is_constant(others[0]):
            if not scales(node) and not adds(node):
                return False
            value = str(node.output[0])
            continue
        return adds(node) and others[0] in before
    return False


def _ancestors(editor: GraphEditor, node: onnx.NodeProto) -> set[str]:
    """All values that the node is computed from."""
    found: set[str] = set()
    pending = [str(name) for name in node.input if name]
    while pending:
        value = pending.pop()
        if value not in found:
            found.add(value)
            maker = editor.producers.get(value)
            pending += [] if maker is None else [str(name) for name in maker.input if name]
    return found


def _dead_without(editor: GraphEditor, weight: LayerWeight) -> set[int]:
    """Nodes that nothing but this layer needs."""
    dead = {id(weight.node)}
    for node in reversed(editor.nodes):
        users = [user for name in node.output for user in editor.consumers.get(name, [])]
        wanted = any(name in editor.outputs for name in node.output)
        if users and not wanted and all(id(user) in dead for user in users):
            dead.add(id(node))
    return dead - {id(weight.node)}

"""Fold weights that the graph computes from constants.

Weight normalisation, as in wav2vec 2.0's positional convolution, is exported as operators on two
parameters. ONNX Runtime folds them at load time. Before that, the layer has no constant weight that
could be quantized, and the file stores the parameters in float32.

Rewrite rule:

1. The weight or bias of a ``Conv``, ``ConvTranspose``, ``Gemm`` or ``MatMul`` whose producers have
   only constant inputs → an initializer.
"""

from __future__ import annotations

from typing import cast

import onnx
from onnx.reference import ReferenceEvaluator

from quantkit.arrays import Array
from quantkit.graph.editor import GraphEditor
from quantkit.passes.match import remove_unused

_LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU"})

# Operators of trained parametrisations; others are not folded.
_FOLDABLE = frozenset(
    {
        *("Add", "Sub", "Mul", "Div", "Sqrt", "Pow", "Abs", "Neg", "Reciprocal"),
        *("ReduceL2", "ReduceSum", "ReduceSumSquare", "ReduceMean", "ReduceMax"),
        # Of levels that a weight is the product of with a scale.
        "Cast",
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Concat", "Slice", "Identity"),
    }
)


def fold_constant_weights(model: onnx.ModelProto) -> bool:
    """Apply the rule above in place; returns whether it did."""
    editor = GraphEditor(model)
    found = False
    for node in [n for n in editor.nodes if n.op_type in _LAYERS]:
        for value in node.input:
            maker = editor.producers.get(value)
            if maker is None or maker.op_type not in _FOLDABLE:
                continue
            folded = _evaluate(editor, value, {})
            if folded is None:
                continue
            editor.redirect(value, editor.constant(f"{value}.folded", folded))
            remove_unused(editor, maker)
            found = True
    if found:
        editor.finish()
    return found


def _evaluate(editor: GraphEditor, value: str, known: dict[str, Array]) -> Array | None:
    """The value of ``value``, or None if it does not depend on constants alone."""
    if value in known:
        return known[value]
    constant = editor.array(value)
    if constant is not None:
        return constant
    node = editor.producers.get(value)
    if node is None or node.op_type not in _FOLDABLE or len(node.output) != 1:
        return None
    feeds: dict[str, Array] = {}
    for name in filter(None, node.input):
        operand = _evaluate(editor, name, known)
        if operand is None:
            return None
        feeds[name] = operand
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(operand.dtype), operand.shape
            )
            for name, operand in feeds.items()
        ],
        [onnx.ValueInfoProto(name=value)],
    )
    single = onnx.helper.make_model(graph, opset_imports=list(editor.model.opset_import))
    try:
        (result,) = cast(list[Array], ReferenceEvaluator(single).run(None, feeds))
    # A node that cannot be run has no value; NumPy and the evaluator raise errors of any kind.
    except Exception:
        return None
    known[value] = result
    return result

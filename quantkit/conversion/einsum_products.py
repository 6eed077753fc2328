"""``Einsum`` with a weight as the product of matrices that it is.

TensorFlow's and Keras's attention projects with weights of three axes: ``abc,cde->abde`` onto
heads, ``abcd,cde->abe`` back. No integer kernel knows ``Einsum``. Where the last axes of the values
are the first ones of the weight, it is ``MatMul`` between two changes of form.
"""

from __future__ import annotations

import re

import numpy as np
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor

_EQUATION = re.compile(r"([a-zA-Z]+),([a-zA-Z]+)->([a-zA-Z]+)")


def write_as_products(model: onnx.ModelProto) -> str:
    """Rewrite each ``Einsum`` of values and a weight, in place.

    Returns:
        What was done, in words; empty where there was none.
    """
    editor = GraphEditor(model)
    done = 0
    for scope, node in editor.everywhere():
        if node.op_type == "Einsum" and node.domain in ("", "ai.onnx"):
            done += _rewritten(scope, node)
    if not done:
        return ""
    editor.finish()
    return (
        f"{done} Einsum with a weight {'is a product' if done == 1 else 'are products'} of matrices"
    )


def _rewritten(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether it was such a product."""
    equation = editor.attributes(node).get("equation", b"").decode().replace(" ", "")
    match = _EQUATION.fullmatch(equation)
    if match is None or len(node.input) != 2 or not editor.is_float32(node.input[1]):
        return False
    values, weight, result = match.groups()
    shape = editor.shape(node.input[1]) or ()
    summed = sum(axis in weight for axis in values)
    ahead, shared, free = values[: len(values) - summed], weight[:summed], weight[summed:]
    if (
        not summed
        or not free
        or values != ahead + shared
        or result != ahead + free
        or len({*values, *weight}) != len(ahead) + len(weight)
        or len(shape) != len(weight)
    ):
        return False
    array = editor.array(node.input[1])
    if array is None:
        return False
    inner, outer = int(np.prod(shape[:summed])), shape[summed:]
    name = node.name or node.output[0]
    matrix = editor.constant(f"{node.input[1]}.matrix", array.reshape(inner, -1))
    new, read = [], node.input[0]
    keeps = [0] * len(ahead)
    if summed > 1:
        flat = f"{name}.flat"
        form = editor.constant(f"{flat}.shape", np.array([*keeps, inner], np.int64))
        new.append(helper.make_node("Reshape", [read, form], [flat], flat))
        read = flat
    product = node.output[0] if len(free) == 1 else f"{name}.product"
    new.append(helper.make_node("MatMul", [read, matrix], [product], name))
    if len(free) > 1:
        form = editor.constant(f"{name}.shape", np.array([*keeps, *outer], np.int64))
        made = f"{name}.by_axis"
        new.append(helper.make_node("Reshape", [product, form], [node.output[0]], made))
    editor.replace(node, new)
    return True

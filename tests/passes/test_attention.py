"""Attention without a mask becomes one operator, which computes the same."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from quantkit.passes.attention import fuse_attention

N, H = 3, 4
WIDTH = N * H
RANDOM = np.random.default_rng(0)
CONSTANTS = {
    "w": (0.5 * RANDOM.standard_normal((WIDTH, 3 * WIDTH))).astype(np.float32),
    "sizes": np.array([WIDTH] * 3),
    "by_head": np.array([0, 0, N, H]),
    "flat": np.array([0, 0, WIDTH]),
    "factor": np.float32(0.7),
    "mask": RANDOM.standard_normal((1, 1, 1, 1)).astype(np.float32),
}


def node(op, inputs, output, **attributes):
    return helper.make_node(op, inputs, [output], output, **attributes)


def attention(*, scaling=None, twice=False, masked=False, axis=-1):
    parts = ["q", "k", "v"]
    nodes = [
        node("MatMul", ["x", "w"], "all"),
        helper.make_node("Split", ["all", "sizes"], parts, "split", axis=-1),
        *(node("Reshape", [part, "by_head"], f"{part}4") for part in parts),
        node("Transpose", ["q4"], "qt", perm=[0, 2, 1, 3]),
        node("Transpose", ["v4"], "vt", perm=[0, 2, 1, 3]),
    ]
    if twice:
        nodes += [
            node("Transpose", ["k4"], "kh", perm=[0, 2, 1, 3]),
            node("Transpose", ["kh"], "kt", perm=[0, 1, 3, 2]),
        ]
    else:
        nodes.append(node("Transpose", ["k4"], "kt", perm=[0, 2, 3, 1]))
    nodes.append(node("MatMul", ["qt", "kt"], "scores"))
    last = "scores"
    if scaling:
        nodes.append(node(scaling, ["scores", "factor"], "scaled"))
        last = "scaled"
    if masked:
        nodes.append(node("Add", [last, "mask"], "masked"))
        last = "masked"
    return [
        *nodes,
        node("Softmax", [last], "p", axis=axis),
        node("MatMul", ["p", "vt"], "mixed"),
        node("Transpose", ["mixed"], "joined", perm=[0, 2, 1, 3]),
        node("Reshape", ["joined", "flat"], "y"),
    ]


@pytest.mark.parametrize("scaling", [None, "Mul", "Div"])
@pytest.mark.parametrize("twice", [True, False])
@pytest.mark.parametrize("steps", [1, 5, 600])
def test_one_operator_computes_the_same(build, run, scaling, twice, steps):
    model = build(attention(scaling=scaling, twice=twice), CONSTANTS, ["n", "t", WIDTH])
    x = RANDOM.standard_normal((2, steps, WIDTH)).astype(np.float32)
    before = run(model, x)

    assert fuse_attention(model)

    operators = [n.op_type for n in model.graph.node]
    assert "MultiHeadAttention" in operators
    assert {"Softmax", "Transpose"}.isdisjoint(operators)
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-5)
    assert not fuse_attention(model)


def test_the_number_of_heads_may_stand_in_a_shape_that_is_computed(build, run):
    nodes = [
        node("Shape", ["x"], "first", start=0, end=2),
        node("Slice", ["first", "zero", "one", "zero"], "clips"),
        node("Slice", ["first", "one", "two", "zero"], "steps"),
        node("Concat", ["clips", "steps", "heads", "size"], "computed", axis=0),
        *attention(),
    ]
    for each in nodes:
        if each.op_type == "Reshape" and each.input[1] == "by_head":
            each.input[1] = "computed"
    numbers = {"zero": [0], "one": [1], "two": [2], "heads": [N], "size": [H]}
    constants = CONSTANTS | {name: np.array(value) for name, value in numbers.items()}
    model = build(nodes, constants, ["n", "t", WIDTH])
    x = RANDOM.standard_normal((2, 5, WIDTH)).astype(np.float32)
    before = run(model, x)
    assert fuse_attention(model)
    np.testing.assert_allclose(run(model, x), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("change", [{"masked": True}, {"axis": 2}], ids=["a mask", "another axis"])
def test_what_is_no_plain_attention_stays(build, change):
    model = build(attention(**change), CONSTANTS, ["n", "t", WIDTH])
    before = model.SerializeToString()
    assert not fuse_attention(model)
    assert model.SerializeToString() == before


def test_keys_that_another_graph_reads_stay(build):
    model = build(attention(), CONSTANTS, ["n", "t", WIDTH])
    model.graph.output.append(helper.make_tensor_value_info("kt", TensorProto.FLOAT, None))
    assert not fuse_attention(model)


def test_probabilities_that_are_read_elsewhere_stay(build):
    nodes = [*attention()[:-1], node("ReduceSum", ["p"], "sum", keepdims=0)]
    nodes += [node("Reshape", ["joined", "flat"], "flat_y"), node("Add", ["flat_y", "sum"], "y")]
    model = build(nodes, CONSTANTS, ["n", "t", WIDTH])
    assert not fuse_attention(model)

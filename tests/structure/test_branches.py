"""Branches beside a residual connection, and graphs in which some make their mean alone."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.errors import FormatError
from quantkit.structure.branches import branch_ends, keep_means
from quantkit.structure.layers import see_layers
from tests.structure.test_channel_paths import clips_of, convolutions, graph_of, node, result

RANDOM = np.random.default_rng(4)


def weight(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32) / 8


def block(scaled: bool = True) -> onnx.ModelProto:
    """A product, and a feed-forward block beside what it makes, halved as in a Conformer."""
    behind = [node("Mul", ["b", "half"], ["h"], "halved")] if scaled else []
    nodes = [
        node("MatMul", ["x", "w0"], ["t"], "before"),
        node("MatMul", ["t", "w1"], ["u"], "up"),
        node("Relu", ["u"], ["a"], "relu"),
        node("MatMul", ["a", "w2"], ["v"], "down"),
        node("Add", ["v", "bias"], ["b"], "down.add"),
        *behind,
        node("Sum", ["h" if scaled else "b", "t"], ["s"], "residual"),
        node("MatMul", ["s", "w3"], ["y"], "after"),
    ]
    constants = {
        "w0": weight(64, 64),
        "w1": weight(64, 96),
        "w2": weight(96, 64),
        "w3": weight(64, 64),
        "bias": np.linspace(-1, 1, 64, dtype=np.float32),
        "half": np.float32(0.5),
    }
    return graph_of(nodes, constants, [2, "time", 64])


def convolution_block() -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w1"], ["c"], "first", pads=[1, 1]),
        node("Conv", ["c", "w2", "bias"], ["v"], "last", pads=[1, 1]),
        node("Add", ["x", "v"], ["y"], "residual"),
    ]
    constants = {"w1": weight(64, 64, 3), "w2": weight(64, 64, 3), "bias": weight(64)}
    return graph_of(nodes, constants, [2, 64, "time"])


def with_mean(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    keep_means(made, [name], see_layers(model, [name], clips_of(model)))
    return made


def test_a_block_ends_at_its_last_layer_and_only_it_needs_the_others() -> None:
    assert branch_ends(block()) == {"down": ("up",)}
    assert branch_ends(block(scaled=False)) == {"down": ("up",)}
    assert branch_ends(convolution_block()) == {"last": ("first",)}


def test_products_of_two_activations_are_no_layers_that_go() -> None:
    model = block()
    relu = model.graph.node[2]
    squared = helper.make_node("MatMul", ["u", "square"], ["uu"], "attention")
    transposed = helper.make_node("Transpose", ["u"], ["turned"], "turned", perm=[0, 2, 1])
    product = helper.make_node("MatMul", ["turned", "u"], ["square"], "scores")
    relu.input[0] = "uu"
    nodes = [*list(model.graph.node)[:2], transposed, product, squared, *list(model.graph.node)[2:]]
    copies = [onnx.NodeProto.FromString(each.SerializeToString()) for each in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    assert branch_ends(model) == {"down": ("up",)}


def test_a_block_without_its_branch_adds_the_mean() -> None:
    model = block()
    made = with_mean(model, "down")
    assert [each.op_type for each in made.graph.node] == ["MatMul", "Add", "Mul", "Sum", "MatMul"]
    x = clips_of(model)[0][1]["x"]
    assert result(made, x).shape == result(model, x).shape
    many = [
        result(each, feed["x"]).mean(axis=(0, 1))
        for _, feed in clips_of(model)
        for each in (model, made)
    ]
    counts = np.array([300, 170])
    before = (counts[:, None] * np.array(many[0::2])).sum(axis=0) / counts.sum()
    after = (counts[:, None] * np.array(many[1::2])).sum(axis=0) / counts.sum()
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_a_convolution_keeps_its_bias_and_its_shape() -> None:
    model = convolution_block()
    made = with_mean(model, "last")
    assert [each.op_type for each in made.graph.node] == ["Add"]
    x = clips_of(model)[0][1]["x"]
    branch, mean = result(model, x) - x, result(made, x) - x
    assert mean.shape == branch.shape
    assert np.ptp(mean, axis=(0, 2)).max() < 1e-6
    assert abs(mean - branch).mean() < abs(branch).mean()


def test_who_adds_something_else_ends_no_branch() -> None:
    model = block()
    # The sum is with the model's input, of which the branch is computed, but read twice.
    model.graph.node.append(helper.make_node("Relu", ["v"], ["other"], "other"))
    assert branch_ends(model) == {}
    assert branch_ends(convolutions()) == {}


def test_what_the_branch_is_not_computed_from_may_have_another_shape() -> None:
    nodes = [
        node("MatMul", ["x", "w1"], ["u"], "one"),
        node("ReduceMean", ["x", "axis"], ["row"], "mean", keepdims=1),
        node("MatMul", ["row", "w2"], ["v"], "two"),
        node("Add", ["u", "v"], ["y"], "sum"),
    ]
    constants = {"w1": weight(64, 64), "w2": weight(64, 64), "axis": np.array([1])}
    assert branch_ends(graph_of(nodes, constants, [2, "time", 64])) == {}


def test_other_layers_are_refused() -> None:
    with pytest.raises(FormatError, match="layer after cannot make its mean alone"):
        keep_means(block(), ["after"], None)

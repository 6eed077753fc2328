"""Where factors can be moved between layers, where they cannot, and that moving changes nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import onnx
import pytest

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.equalize.channel_scaling import find_junctions, move, ratio
from tests.small_graphs import CHANNELS, Graph, run, transformer, values_of
from tests.small_model import masked_convolutions

RANDOM = np.random.default_rng(7)


def found(model: onnx.ModelProto, shared: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Readers of each junction, by its maker."""
    junctions = find_junctions(GraphEditor(model), shared)
    return {str(j.maker.name): [str(reader.name) for reader in j.readers] for j in junctions}


def scaled(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with random factors at every junction."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    editor = GraphEditor(copy)
    for junction in find_junctions(editor):
        factors = np.exp(RANDOM.uniform(-2, 2, junction.channels)).astype(np.float32)
        move(editor, junction, factors)
    return copy


def test_transformer_has_junctions_behind_norms_relus_and_the_values_of_attention() -> None:
    assert found(transformer(1)) == {
        "block0.norm1": ["block0.q", "block0.k", "block0.v"],
        "block0.v": ["block0.o"],
        "block0.norm2": ["block0.up"],
        "block0.up": ["block0.down"],
        "norm": ["head"],
    }


def test_scale_and_shift_of_a_norm_may_be_nodes_of_their_own() -> None:
    assert found(transformer(1, affine="spelled")) == found(transformer(1))


def test_masks_and_transpositions_are_passed_through() -> None:
    names = [f"layer{i}.conv" for i in range(1, 7)]
    expected = {maker: [reader] for maker, reader in pairwise(names)}
    assert found(masked_convolutions()) == expected


@pytest.mark.parametrize("affine", ["norm", "spelled"])
def test_moving_factors_keeps_what_a_transformer_computes(affine: str) -> None:
    model = transformer(affine=affine)
    x = RANDOM.standard_normal((2, 9, CHANNELS)).astype(np.float32)
    changed = scaled(model)
    assert not np.allclose(values_of(changed)["block0.up.w"], values_of(model)["block0.up.w"])
    np.testing.assert_allclose(run(changed, x), run(model, x), atol=1e-4)


def convolutions(*between: str, groups: int = 1) -> Graph:
    """Two convolutions over time with unary operators between them."""
    graph = Graph()
    value = graph.add("Conv", ["x", graph.weight("w1", 24, 16, 3), "b1"], "first", pads=[1, 1])
    graph.constant("b1", RANDOM.uniform(-1, 1, 24).astype(np.float32))
    for op in between:
        attributes = {"MaxPool": {"kernel_shape": [2]}, "AveragePool": {"kernel_shape": [2]}}
        value = graph.add(op, [value], op.lower(), **attributes.get(op, {}))
    weight = graph.weight("w2", 8, 24 // groups, 3)
    graph.add("Conv", [value, weight], "y", group=groups)
    return graph


@pytest.mark.parametrize("groups", [1, 4, 8])
@pytest.mark.parametrize(
    "between", [(), ("Relu",), ("LeakyRelu", "Identity"), ("Relu", "MaxPool"), ("AveragePool",)]
)
def test_moving_factors_keeps_what_convolutions_compute(between, groups: int) -> None:
    model = convolutions(*between, groups=groups).model("y", channels=16)
    assert found(model) == {"first": ["y"]}
    x = RANDOM.standard_normal((2, 16, 40)).astype(np.float32)
    changed = scaled(model)
    assert not np.allclose(values_of(changed)["w2"], values_of(model)["w2"])
    np.testing.assert_allclose(run(changed, x), run(model, x), atol=1e-4)


@pytest.mark.parametrize("transposed", [0, 1])
def test_general_products_are_layers_too(transposed: int) -> None:
    graph = Graph()
    shapes = [(24, 32), (8, 24)] if transposed else [(32, 24), (24, 8)]
    graph.constant("b1", RANDOM.uniform(-1, 1, 24).astype(np.float32))
    graph.add("Gemm", ["x", graph.weight("w1", *shapes[0]), "b1"], "first", transB=transposed)
    graph.add("Relu", ["first"], "relu")
    graph.add("Gemm", ["relu", graph.weight("w2", *shapes[1])], "y", transB=transposed)
    model = graph.model("y", rank=2)
    assert found(model) == {"first": ["y"]}
    x = RANDOM.standard_normal((5, 32)).astype(np.float32)
    np.testing.assert_allclose(run(scaled(model), x), run(model, x), atol=1e-4)


def chain() -> Graph:
    graph = Graph()
    first = graph.linear("x", "first", CHANNELS, CHANNELS)
    graph.add("Relu", [first], "relu")
    graph.linear("relu", "second", CHANNELS, CHANNELS)
    return graph


def test_value_that_something_else_reads_is_left_alone() -> None:
    graph = chain()
    assert found(graph.model("second.sum")) == {"first": ["second"]}
    assert found(graph.model("second.sum", "relu")) == {}, "an output of the graph"
    graph.add("Shape", ["relu"], "shape")
    assert found(graph.model("second.sum")) == {"first": ["second"]}
    graph.add("Add", ["relu", "second.sum"], "residual")
    assert found(graph.model("residual")) == {}, "a residual branch"


@pytest.mark.parametrize("op", ["Sigmoid", "Tanh", "Softplus"])
def test_what_is_not_homogeneous_is_not_passed(op: str) -> None:
    assert found(convolutions(op).model("y", channels=16)) == {}


def test_channels_must_be_those_of_the_reader() -> None:
    graph = Graph()
    graph.linear("x", "first", CHANNELS, CHANNELS)
    graph.add("Transpose", ["first.sum"], "turned", perm=[0, 2, 1])
    graph.add("MatMul", ["turned", graph.weight("w", CHANNELS, 4)], "y")
    assert found(graph.model("y")) == {}


def test_weights_that_layers_share_stay() -> None:
    model = chain().model("second.sum")
    assert found(model, shared=("second",)) == {}
    assert found(model, shared=("first",)) == {}


def test_constant_with_another_reader_or_an_equal_stays() -> None:
    graph = chain()
    graph.add("Mul", ["second.sum", "first.b"], "y")
    assert found(graph.model("y")) == {}, "the bias is a factor elsewhere, too"
    graph = chain()
    graph.constant("copy", graph.constants["first.b"].copy())
    graph.add("Add", ["second.sum", "copy"], "y")
    assert found(graph.model("y")) == {}, "the two are stored as one"


def test_zeros_may_be_shared() -> None:
    graph = chain()
    graph.constants["first.b"][:] = 0
    graph.add("Add", ["second.sum", "first.b"], "y")
    model = graph.model("y")
    assert found(model) == {"first": ["second"]}
    assert not values_of(scaled(model))["first.b"].any()


def test_attention_needs_whole_heads() -> None:
    model = transformer(1)
    for tensor in model.graph.initializer:
        if tensor.name == "split":
            tensor.raw_data = np.array([0, 0, CHANNELS // 5, 5]).tobytes()
    assert "block0.v" not in found(model)


def test_ratio_gives_dead_channels_the_middle_of_the_others() -> None:
    numerator = np.array([4.0, 1.0, 0.0, 2.0, 1e-9], np.float32)
    denominator = np.array([1.0, 1.0, 1.0, 0.0, 1.0], np.float32)
    np.testing.assert_allclose(ratio(numerator, denominator), [4, 1, 2, 2, 2], rtol=1e-6)
    np.testing.assert_array_equal(ratio(np.zeros(3, np.float32), np.ones(3, np.float32)), 1)

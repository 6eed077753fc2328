"""Which layers can be two, and graphs in which some are."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import FormatError
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import Structure
from quantkit.structure.layers import Splittable, see_layers, split_layers, splittable_layers

RANK = 16


def weight_of_rank(rank: int, outputs: int, inputs: int) -> np.ndarray:
    random = np.random.default_rng(3)
    left, right = random.standard_normal((outputs, rank)), random.standard_normal((rank, inputs))
    return (left @ right / np.sqrt(rank * inputs)).astype(np.float32)


def graph_of(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[Any]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "one layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def convolution(rank: int, *, bias: bool = True) -> onnx.ModelProto:
    """80 channels of windows of 5 × 24, strided, dilated, padded unevenly."""
    attributes = {"strides": [2], "dilations": [2], "pads": [3, 1], "kernel_shape": [5]}
    node = helper.make_node(
        "Conv", ["x", "w", "b"][: 3 if bias else 2], ["y"], "layer", **attributes
    )
    constants = {"w": weight_of_rank(rank, 80, 120).reshape(80, 24, 5)}
    if bias:
        constants["b"] = np.linspace(-1, 1, 80, dtype=np.float32)
    return graph_of([node], constants, [1, 24, "time"])


def plane_convolution(rank: int) -> onnx.ModelProto:
    """80 channels of windows of 3 × 3 of 8 channels, as long as the input."""
    node = helper.make_node("Conv", ["x", "w"], ["y"], "layer", auto_pad="SAME_UPPER")
    weight = weight_of_rank(rank, 80, 72).reshape(80, 8, 3, 3)
    return graph_of([node], {"w": weight}, [1, 8, "time", 9])


def product(rank: int, *, outputs: int = 80, inputs: int = 90) -> onnx.ModelProto:
    """A matrix product with a bias behind it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"], "layer"),
        helper.make_node("Add", ["b", "p"], ["y"], "sum"),
    ]
    constants = {
        "w": np.ascontiguousarray(weight_of_rank(rank, outputs, inputs).T),
        "b": np.linspace(-1, 1, outputs, dtype=np.float32).reshape(1, -1),
    }
    return graph_of(nodes, constants, [1, "time", inputs])


def gemm(rank: int, *, transposed: int = 1, bias: bool = True) -> onnx.ModelProto:
    node = helper.make_node(
        "Gemm", ["x", "w", "b"][: 3 if bias else 2], ["y"], "layer", transB=transposed
    )
    weight = weight_of_rank(rank, 80, 90)
    constants = {"w": weight if transposed else np.ascontiguousarray(weight.T)}
    if bias:
        constants["b"] = np.linspace(-1, 1, 80, dtype=np.float32)
    return graph_of([node], constants, ["time", 90])


def clips_of(model: onnx.ModelProto) -> list[tuple[str, dict[str, np.ndarray]]]:
    random = np.random.default_rng(0)
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return [
        (name, {"x": 0.5 + random.standard_normal([n or length for n in dims], np.float32)})
        for name, length in (("a", 300), ("b", 170))
    ]


def result(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def split(model: onnx.ModelProto, ranks: int | Structure) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    structure = {"layer": ranks if isinstance(ranks, Structure) else Structure(ranks)}
    split_layers(made, structure, see_layers(model, ["layer"], clips_of(model)))
    return made


FORMS = {
    "convolution": convolution(RANK),
    "convolution without bias": convolution(RANK, bias=False),
    "two-dimensional convolution": plane_convolution(RANK),
    "matrix product": product(RANK),
    "matrix product, fewer inputs": product(RANK, outputs=200, inputs=70),
    "gemm": gemm(RANK),
    "gemm, not transposed": gemm(RANK, transposed=0),
    "gemm without bias": gemm(RANK, bias=False),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_layer_of_that_rank_computes_what_it_did(form: str) -> None:
    model = FORMS[form]
    made = split(model, RANK)
    assert [layer.name for layer in find_layers(made)] == ["layer.in", "layer"]
    for _, feed in clips_of(model):
        np.testing.assert_allclose(result(made, feed["x"]), result(model, feed["x"]), atol=2e-5)


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_of_what_a_lower_rank_computes_is_kept(form: str) -> None:
    model = FORMS[form]
    made = split(model, RANK // 2)
    axis = 1 if "convolution" in form else -1

    def means(each: onnx.ModelProto) -> np.ndarray:
        found = [np.moveaxis(result(each, f["x"]), axis, 0) for _, f in clips_of(model)]
        return np.concatenate([f.reshape(len(f), -1) for f in found], axis=1).mean(axis=1)

    np.testing.assert_allclose(means(made), means(model), atol=2e-5)
    ((_, feed), *_) = clips_of(model)
    assert np.abs(result(made, feed["x"]) - result(model, feed["x"])).max() > 1e-2


def test_the_same_clips_give_the_same_bytes() -> None:
    model = convolution(40)
    assert split(model, 24).SerializeToString() == split(model, 24).SerializeToString()


def test_the_whole_weight_goes() -> None:
    made = split(convolution(RANK), RANK)
    shapes = sorted(tuple(tensor.dims) for tensor in made.graph.initializer)
    assert shapes == [(16, 24, 5), (80,), (80, 16, 1)]


def test_ranks_worth_trying_save_products_and_fill_kernels() -> None:
    layer = Splittable(outputs=512, inputs=6144)
    assert layer.full_rank == 512
    assert layer.ranks == (64, 96, 128, 160, 192, 256, 320, 384)
    assert layer.products(Structure(256)) == pytest.approx(0.54, abs=0.01)
    assert layer.saves(Structure(layer.largest_rank))
    assert not layer.saves(Structure(layer.largest_rank + 1))
    # A square matrix of half its rank saves nothing.
    assert max(Splittable(outputs=512, inputs=512).ranks) < 256


def test_layers_that_cannot_be_two_are_not_offered() -> None:
    assert list(splittable_layers(convolution(RANK))) == ["layer"]
    grouped = graph_of(
        [helper.make_node("Conv", ["x", "w"], ["y"], "layer", group=2)],
        {"w": np.ones((80, 72, 5), np.float32)},
        [1, 144, "time"],
    )
    assert splittable_layers(grouped) == {}
    few = graph_of(
        [helper.make_node("Conv", ["x", "w"], ["y"], "layer")],
        {"w": np.ones((29, 512, 1), np.float32)},
        [1, 512, "time"],
    )
    assert splittable_layers(few) == {}
    tied = graph_of(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"], "one"),
            helper.make_node("MatMul", ["h", "w"], ["y"], "two"),
        ],
        {"w": np.ones((200, 200), np.float32)},
        [1, "time", 200],
    )
    assert splittable_layers(tied) == {}


def test_a_name_that_is_taken_is_no_half() -> None:
    model = graph_of(
        [
            helper.make_node("MatMul", ["x", "v"], ["h"], "layer.in"),
            helper.make_node("MatMul", ["h", "w"], ["y"], "layer"),
        ],
        {"v": np.ones((200, 200), np.float32), "w": np.zeros((200, 200), np.float32)},
        [1, "time", 200],
    )
    assert list(splittable_layers(model)) == ["layer.in"]
    with pytest.raises(FormatError, match=r"layer layer cannot be split"):
        split_layers(model, {"layer": Structure(8)}, None)


@pytest.mark.parametrize(
    "ranks", [Structure(48), Structure(80), Structure(0, 24), Structure(47, 23)]
)
def test_ranks_that_save_nothing_are_refused(ranks: Structure) -> None:
    with pytest.raises(FormatError, match="whose largest rank that saves something is 47"):
        split_layers(convolution(RANK), {"layer": ranks}, None)


def test_a_product_has_no_rank_of_its_inputs() -> None:
    with pytest.raises(FormatError, match="cannot have rank 8 → 0"):
        split_layers(product(RANK), {"layer": Structure(0, 8)}, None)


def few_channels(rank: int) -> onnx.ModelProto:
    """80 channels of windows of 5 × 24, of which only ``rank`` combinations count."""
    random = np.random.default_rng(5)
    taps = random.standard_normal((80, rank, 5))
    weight = np.einsum("ork,ri->oik", taps, random.standard_normal((rank, 24))) / np.sqrt(120)
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "layer", strides=[2], pads=[2, 2])
    constants = {"w": weight.astype(np.float32), "b": np.linspace(-1, 1, 80, dtype=np.float32)}
    return graph_of([node], constants, [1, 24, "time"])


def test_a_layer_that_needs_few_channels_computes_what_it_did() -> None:
    model = few_channels(8)
    made = split(model, Structure(inputs=16))
    assert [layer.name for layer in find_layers(made)] == ["layer.first", "layer"]
    assert sorted(tuple(each.dims) for each in made.graph.initializer) == [
        (16, 24, 1),
        (80,),
        (80, 16, 5),
    ]
    for _, feed in clips_of(model):
        np.testing.assert_allclose(result(made, feed["x"]), result(model, feed["x"]), atol=2e-2)


def test_a_layer_can_be_three() -> None:
    model = few_channels(8)
    made = split(model, Structure(outputs=32, inputs=16))
    names = ["layer.first", "layer.in", "layer"]
    assert [layer.name for layer in find_layers(made)] == names
    assert Splittable(80, 120, 5).parts("layer", Structure(32, 16)) == tuple(names)
    # 8 channels of 5 taps have 40 combinations: some are lost, most are not.
    ((_, feed), *_) = clips_of(model)
    before, after = result(model, feed["x"]), result(made, feed["x"])
    assert np.square(after - before).mean() < 0.1 * before.var()


def test_layers_of_few_taps_keep_their_inputs() -> None:
    assert Splittable(192, 192 * 7, 7).input_ranks == (72, 96, 120, 144)
    assert Splittable(192, 192 * 3, 3).input_ranks == ()
    assert Splittable(192, 192).input_ranks == ()

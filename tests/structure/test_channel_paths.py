"""Whose channels only one layer reads, and graphs in which some are left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import FormatError
from quantkit.graph.editor import GraphEditor
from quantkit.structure.channel_paths import channel_paths, keep_channels, see_channels

RANDOM = np.random.default_rng(2)
node = helper.make_node


def graph_of(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], shape: list[Any]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "two layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def copied(rows: int, columns: int, independent: int) -> np.ndarray:
    """Weights of which all rows behind the first ``independent`` are equal to some of them."""
    weight = RANDOM.standard_normal((independent, columns)).astype(np.float32) / 4
    return np.concatenate([weight, weight[: rows - independent]])


def bias(size: int, independent: int) -> np.ndarray:
    values = np.linspace(-1, 1, independent, dtype=np.float32)
    return np.concatenate([values, values[: size - independent]])


def convolutions(**attributes: Any) -> onnx.ModelProto:
    """48 channels, of which 8 are copies of others, behind a ReLU and a mask of zeros."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c"], "first", pads=[1, 1]),
        node("Relu", ["c"], ["r"], "relu"),
        node("Greater", ["x", "level"], ["some"], "greater"),
        node("Cast", ["some"], ["ones"], "cast", to=TensorProto.FLOAT),
        node("ReduceMax", ["ones", "axis"], ["any"], "any", keepdims=1),
        node("Cast", ["any"], ["mask"], "mask", to=TensorProto.BOOL),
        node("Where", ["mask", "r", "zero"], ["m"], "where"),
        node("Conv", ["m", "w2", "b2"], ["y"], "second", **attributes),
    ]
    constants = {
        "w1": copied(48, 24, 40).reshape(48, 8, 3),
        "b1": bias(48, 40),
        "w2": RANDOM.standard_normal((5, 48, 3)).astype(np.float32),
        "b2": np.ones(5, np.float32),
        "level": np.float32(1.5),
        "axis": np.array([1]),
        "zero": np.float32(0),
    }
    return graph_of(nodes, constants, [1, 8, "time"])


def feed_forward(activation: str = "silu") -> onnx.ModelProto:
    """Units of a transformer, 40 of 48 of them different, with a residual sum around them."""
    parts = {
        "silu": [node("Sigmoid", ["h"], ["s"], "sig"), node("Mul", ["h", "s"], ["a"], "mul")],
        "gelu": [
            node("Div", ["h", "root"], ["d"], "div"),
            node("Erf", ["d"], ["e"], "erf"),
            node("Add", ["e", "one"], ["p"], "plus"),
            node("Mul", ["h", "p"], ["a"], "mul"),
        ],
    }
    nodes = [
        node("MatMul", ["x", "w1"], ["u"], "up"),
        node("Add", ["b1", "u"], ["h"], "up.add"),
        *parts[activation],
        node("MatMul", ["a", "w2"], ["v"], "down"),
        node("Add", ["v", "b2"], ["o"], "down.add"),
        node("Add", ["o", "x"], ["y"], "residual"),
    ]
    constants = {
        "w1": np.ascontiguousarray(copied(48, 32, 40).T),
        "b1": bias(48, 40),
        "w2": RANDOM.standard_normal((48, 32)).astype(np.float32),
        "b2": np.ones(32, np.float32),
        "root": np.float32(2**0.5),
        "one": np.float32(1),
    }
    return graph_of(nodes, constants, [1, "time", 32])


def gated(sizes: bool = False) -> onnx.ModelProto:
    """A Conformer's convolution: a gated linear unit, a depthwise convolution, a product."""
    split = ["u", "sizes"] if sizes else ["u"]
    more = {} if sizes else {"num_outputs": 2}
    filters = RANDOM.standard_normal((40, 1, 5)).astype(np.float32)
    nodes = [
        node("MatMul", ["x", "w1"], ["u"], "pointwise1"),
        node("Split", split, ["left", "right"], "split", axis=2, **more),
        node("Sigmoid", ["right"], ["s"], "sigmoid"),
        node("Mul", ["left", "s"], ["g"], "gate"),
        node("Transpose", ["g"], ["t"], "transpose", perm=[0, 2, 1]),
        node("Conv", ["t", "filters", "fb"], ["d"], "depthwise", group=48, pads=[2, 2]),
        node("Relu", ["d"], ["r"], "relu"),
        node("Transpose", ["r"], ["back"], "back", perm=[0, 2, 1]),
        node("MatMul", ["back", "w2"], ["y"], "pointwise2"),
    ]
    halves = [copied(48, 32, 40).T for _ in range(2)]
    constants = {
        "w1": np.ascontiguousarray(np.concatenate(halves, axis=1)),
        "filters": np.concatenate([filters, filters[:8]]),
        "fb": bias(48, 40),
        "w2": RANDOM.standard_normal((48, 32)).astype(np.float32),
        "sizes": np.array([48, 48]),
    }
    if not sizes:
        del constants["sizes"]
    return graph_of(nodes, constants, [1, "time", 32])


def normalised() -> onnx.ModelProto:
    """Channels that are scaled by their own mean square over time."""
    nodes = [
        node("Conv", ["x", "w1"], ["c"], "first"),
        node("Mul", ["c", "c"], ["sq"], "square"),
        node("ReduceMean", ["sq", "time"], ["m"], "mean", keepdims=0),
        node("Sqrt", ["m"], ["root"], "root"),
        node("Div", ["scale", "root"], ["f"], "div"),
        node("Unsqueeze", ["f", "time"], ["column"], "column"),
        node("Mul", ["c", "column"], ["n"], "mul"),
        node("Conv", ["n", "w2"], ["y"], "second"),
    ]
    constants = {
        "w1": copied(48, 24, 40).reshape(48, 8, 3),
        "w2": RANDOM.standard_normal((5, 48, 3)).astype(np.float32),
        "scale": bias(48, 40) + 2,
        "time": np.array([2]),
    }
    return graph_of(nodes, constants, [1, 8, "time"])


FORMS = {
    "convolutions with a mask": convolutions(),
    "convolutions with zeros around": convolutions(pads=[1, 1]),
    "feed-forward, SiLU": feed_forward(),
    "feed-forward, GELU": feed_forward("gelu"),
    "gated": gated(),
    "gated, sizes given": gated(sizes=True),
    "normalised": normalised(),
}


def clips_of(model: onnx.ModelProto) -> list[tuple[str, dict[str, np.ndarray]]]:
    random = np.random.default_rng(0)
    dims = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return [
        (name, {"x": random.standard_normal([n or length for n in dims], np.float32)})
        for name, length in (("a", 300), ("b", 170))
    ]


def result(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def with_channels(model: onnx.ModelProto, count: int, *, seen: bool = True) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    (name,) = channel_paths(model)
    shown = see_channels(model, [name], clips_of(model)) if seen else None
    keep_channels(made, {name: count}, shown)
    return made


@pytest.mark.parametrize("form", FORMS)
def test_without_its_copies_a_model_computes_what_it_did(form: str) -> None:
    model = FORMS[form]
    made = with_channels(model, 40)
    for _, feed in clips_of(model):
        np.testing.assert_allclose(
            result(made, feed["x"]), result(model, feed["x"]), rtol=1e-3, atol=2e-3
        )


@pytest.mark.parametrize("form", FORMS)
def test_both_layers_and_all_between_them_become_smaller(form: str) -> None:
    model = FORMS[form]
    made = with_channels(model, 16, seen=False)
    assert not any(48 in each.dims or 96 in each.dims for each in made.graph.initializer)
    assert result(made, clips_of(model)[0][1]["x"]).shape == (
        result(model, clips_of(model)[0][1]["x"]).shape
    )


def test_the_names_of_layers_stay() -> None:
    made = with_channels(feed_forward(), 24)
    assert [each.name for each in made.graph.node] == [
        each.name for each in feed_forward().graph.node
    ]


def test_zeros_of_masks_and_of_padding_are_known() -> None:
    (masked,) = channel_paths(convolutions()).values()
    (plain,) = channel_paths(feed_forward()).values()
    assert masked.has_zeros
    assert not plain.has_zeros


def test_a_mask_keeps_what_it_hides_at_zero() -> None:
    """A constant channel must not reach frames that the mask has set to zero."""
    model = convolutions()
    constant = numpy_helper.from_array(np.zeros((48, 8, 3), np.float32), "w1")
    editor = GraphEditor(model)
    editor.tensor("w1").CopyFrom(constant)
    made = with_channels(model, 8)
    quiet = np.zeros((1, 8, 40), np.float32)
    np.testing.assert_allclose(result(made, quiet), result(model, quiet), atol=1e-5)


def test_a_gated_unit_has_two_blocks_of_channels() -> None:
    (path,) = channel_paths(gated()).values()
    assert (path.producer, path.consumer, path.channels, path.blocks) == (
        "pointwise1",
        "pointwise2",
        48,
        2,
    )


def read_twice() -> onnx.ModelProto:
    model = feed_forward()
    model.graph.node.append(node("MatMul", ["a", "w2"], ["other"], "another"))
    return model


def in_the_output() -> onnx.ModelProto:
    model = feed_forward()
    model.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, None))
    return model


def with_shape(**attributes: int) -> onnx.ModelProto:
    model = feed_forward()
    model.graph.node.append(node("Shape", ["a"], ["sizes"], "sizes", **attributes))
    model.graph.output.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, None))
    return model


def test_who_asks_for_other_sizes_needs_no_channels() -> None:
    assert set(channel_paths(with_shape(start=1, end=2))) == {"up"}
    looked_up = with_shape()
    looked_up.graph.output.pop()
    looked_up.graph.initializer.append(numpy_helper.from_array(np.int64(1), "one_i"))
    looked_up.graph.node.append(node("Gather", ["sizes", "one_i"], ["frames"], "frames"))
    assert set(channel_paths(looked_up)) == {"up"}


def across_a_residual_sum() -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "w1"], ["u"], "one"),
        node("MatMul", ["u", "w2"], ["v"], "two"),
        node("Add", ["u", "v"], ["sum"], "residual"),
        node("MatMul", ["sum", "w3"], ["y"], "three"),
    ]
    constants = {
        name: RANDOM.standard_normal((48, 48)).astype(np.float32) for name in ("w1", "w2", "w3")
    }
    return graph_of(nodes, constants, [1, "time", 48])


def across_a_layer_norm() -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "w1"], ["u"], "one"),
        node("LayerNormalization", ["u", "scale"], ["n"], "norm"),
        node("MatMul", ["n", "w2"], ["y"], "two"),
    ]
    constants = {
        "w1": RANDOM.standard_normal((48, 48)).astype(np.float32),
        "w2": RANDOM.standard_normal((48, 48)).astype(np.float32),
        "scale": np.ones(48, np.float32),
    }
    return graph_of(nodes, constants, [1, "time", 48])


@pytest.mark.parametrize(
    "model",
    [
        read_twice(),
        in_the_output(),
        with_shape(),
        with_shape(start=2),
        across_a_residual_sum(),
        across_a_layer_norm(),
    ],
)
def test_channels_that_others_need_stay(model: onnx.ModelProto) -> None:
    assert channel_paths(model) == {}
    with pytest.raises(FormatError, match="must make all its channels"):
        keep_channels(model, {model.graph.node[0].name: 24}, None)


def test_more_channels_than_there_are_are_refused() -> None:
    with pytest.raises(FormatError, match="cannot make 48 channels only: it makes 48"):
        keep_channels(feed_forward(), {"up": 48}, None)


def test_counts_are_what_kernels_compute_at_a_time() -> None:
    (path,) = channel_paths(feed_forward()).values()
    assert path.counts == (16, 24, 32, 40)

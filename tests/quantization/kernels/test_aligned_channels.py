"""Static convolutions whose channels are filled up for the fast kernel."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.artifact import load_model
from quantkit.graph.layers import find_layers
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.kernels import aligned_channels
from quantkit.quantization.pipeline import QuantizeResult
from quantkit.runtime.optimised import optimised_graph

CLIPS = [
    (
        str(n),
        {
            "x": np.random.default_rng(n).standard_normal((2, 24, n), np.float32),
            "lengths": np.array([n, n - 7]),
        },
    )
    for n in (60, 51)
]


def chain(*channels: int, between: str = "Relu", groups: int = 1) -> onnx.ModelProto:
    """Convolutions of three taps with biases, ``between`` and a mask behind each but the last."""
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Unsqueeze", ["lengths", "axes"], ["column"])]
    constants: dict[str, np.ndarray] = {
        "axes": np.array([1, 2]),
        "zero": np.float32(0),
        "none": np.int64(0),
        "one": np.int64(1),
    }
    value, count = "x", len(channels) - 1
    for number in range(1, count + 1):
        inputs, outputs = channels[number - 1 : number + 1]
        name = f"layer{number}"
        weight = random.standard_normal((outputs, inputs // groups, 3)) / np.sqrt(3 * inputs)
        constants[f"{name}.w"] = weight.astype(np.float32)
        constants[f"{name}.b"] = random.standard_normal(outputs).astype(np.float32) / 4
        result = "y" if number == count else f"{name}.out"
        operands = [value, f"{name}.w", f"{name}.b"]
        nodes.append(helper.make_node("Conv", operands, [result], name, pads=[1, 1], group=groups))
        if number == count:
            break
        active = f"{name}.active"
        inputs_of = [result, "x"] if between == "Add" else [result]
        nodes += [
            helper.make_node(between, inputs_of, [active]),
            helper.make_node("Shape", [active], [f"{name}.frames"], start=2, end=3),
            helper.make_node("Squeeze", [f"{name}.frames"], [f"{name}.count"]),
            helper.make_node("Range", ["none", f"{name}.count", "one"], [f"{name}.index"]),
            helper.make_node("Less", [f"{name}.index", "column"], [f"{name}.inside"]),
            helper.make_node("Where", [f"{name}.inside", active, "zero"], [f"{name}.masked"]),
        ]
        value = f"{name}.masked"
    graph = helper.make_graph(
        nodes,
        "chain",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", channels[0], "frames"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def quantized(folder: Path, model: onnx.ModelProto, codec: str = "") -> QuantizeResult:
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "float32.onnx")
    rules = (LayerRule.parse(f"layer2={codec}@static"),) if codec else ()
    settings = replace(preset("static-int8"), rules=rules)
    return quantize_model(folder / "float32.onnx", folder / "int8.onnx", settings, CLIPS)


def results(path: Path) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return [session.run(None, {n: feed[n] for n in names})[0] for _, feed in CLIPS]


def kernels(path: Path) -> tuple[list[list[int]], list[str]]:
    """Shapes of the weights of convolutions that run, and the names of all nodes."""
    graph = optimised_graph(path)
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    convolutions = [n for n in graph.node if n.op_type == "QLinearConv"]
    return [shapes[n.input[3]] for n in convolutions], [n.name for n in graph.node]


def copies(nodes: list[str]) -> int:
    """How often channels are filled up or cut off in each run."""
    return sum("/wide_input" in name or "/narrow" in name for name in nodes)


def without(folder: Path, model: onnx.ModelProto, codec: str = "") -> QuantizeResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aligned_channels, "_missing", lambda channels: 0)
        return quantized(folder, model, codec)


@pytest.mark.parametrize("codec", ["", "bitplane:4"])
def test_channels_between_convolutions_are_filled_up_and_nothing_else_changes(tmp_path, codec):
    model = chain(24, 70, 70, 20, 6)
    wide = quantized(tmp_path / "wide", model, codec)
    plain = without(tmp_path / "plain", model, codec)

    shapes, nodes = kernels(wide.path)
    assert shapes == [[72, 24, 3], [72, 72, 3], [20, 72, 3]]
    assert kernels(plain.path)[0] == [[70, 24, 3], [70, 70, 3], [20, 70, 3]]
    assert not copies(nodes)
    for found, wanted in zip(results(wide.path), results(plain.path), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_layers_and_their_bytes_are_those_of_the_narrow_ones(tmp_path):
    model = chain(24, 70, 70, 20, 6)
    wide, plain = quantized(tmp_path / "wide", model), without(tmp_path / "plain", model)
    layers = [find_layers(load_model(each.path)) for each in (wide, plain)]
    assert [(each.name, each.shape) for each in layers[0]] == [
        (each.name, each.shape) for each in layers[1]
    ]
    # Amounts of padding and names of nodes.
    assert 0 < wide.size_bytes - plain.size_bytes < 2_500
    assert not wide.lint.problems
    assert all(row.folded for row in wide.lint.rows)


@pytest.mark.parametrize("between", ["Relu", "Sigmoid"])
def test_activation_functions_between_are_no_obstacle(tmp_path, between):
    model = chain(24, 70, 20, 6, between=between)
    wide, plain = quantized(tmp_path / "wide", model), without(tmp_path / "plain", model)
    shapes, nodes = kernels(wide.path)
    assert shapes == [[72, 24, 3], [20, 72, 3]]
    assert not copies(nodes)
    for found, wanted in zip(results(wide.path), results(plain.path), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_what_others_read_is_cut_and_filled_up_at_run_time(tmp_path):
    model = chain(70, 70, 70, 6, between="Add")
    for _, feed in CLIPS:
        assert feed["x"].shape[1] == 24
    clips = [(name, feed | {"x": np.repeat(feed["x"], 3, axis=1)[:, :70]}) for name, feed in CLIPS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.quantization.kernels.test_aligned_channels.CLIPS", clips)
        wide, plain = quantized(tmp_path / "wide", model), without(tmp_path / "plain", model)
        shapes, nodes = kernels(wide.path)
        assert all(size % 8 == 0 for shape in shapes for size in shape[:2])
        assert copies(nodes)
        for found, wanted in zip(results(wide.path), results(plain.path), strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("channels", "missing"), [(250, 6), (252, 0), (256, 0), (70, 2), (30, 2), (21, 0), (3, 0)]
)
def test_few_channels_are_added_or_none(channels, missing):
    assert aligned_channels._missing(channels) == missing

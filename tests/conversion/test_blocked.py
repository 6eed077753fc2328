"""Graphs that ONNX Runtime saved in blocks of channels become those that they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from quantkit.conversion.contrib import take_apart
from quantkit.graph.layers import find_layers
from quantkit.runtime.session import session_options
from tests.conversion.conftest import Runs, graph_of, worst

RANDOM = np.random.default_rng(0)


def some(*shape: int) -> np.ndarray:
    return (0.3 * RANDOM.standard_normal(shape)).astype(np.float32)


def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [output], output, **attributes)


def saved_in_blocks(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, np.ndarray],
    outputs: Sequence[str] = ("y",),
) -> onnx.ModelProto:
    """What ONNX Runtime writes at the level ``all``."""
    plain = graph_of(nodes, {"x": shape}, outputs, constants)
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / "saved.onnx")
    onnxruntime.InferenceSession(
        plain.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    saved = onnx.load(folder / "saved.onnx")
    if not any(each.domain == "com.microsoft.nchwc" for each in saved.graph.node):
        pytest.skip("ONNX Runtime lays nothing in blocks on this processor")
    return saved


SAME = {"pads": [1, 1, 1, 1]}
WIDE = {"w": some(32, 3, 3, 3), "b": some(32), "v": some(16, 32, 3, 3)}
ODD = {"w": some(24, 1, 3, 3), "b": some(24), "v": some(20, 24, 1, 1), "c": some(20)}
CASES: dict[str, tuple[list[onnx.NodeProto], tuple[int | str, ...], dict[str, np.ndarray]]] = {
    "channels that fill blocks": (
        [node("Conv", "xwb", "h", **SAME), node("Relu", "h", "r"), node("Conv", "rv", "y")],
        (1, 3, "t", 12),
        WIDE,
    ),
    "channels that do not": (
        [
            node("Conv", "xwb", "h", strides=[2, 2], **SAME),
            node("Sigmoid", "h", "s"),
            node("Mul", "hs", "m"),
            node("Conv", "mvc", "y"),
        ],
        ("n", 1, "t", 12),
        ODD,
    ),
    "a kernel for each channel, and a sum": (
        [
            node("Conv", "xw", "h", **SAME),
            node("Conv", "hd", "g", group=32, **SAME),
            node("Conv", "gv", "e"),
            node("Add", "eh", "f"),
            node("Relu", "f", "y"),
        ],
        (2, 3, 9, 12),
        {"w": WIDE["w"], "d": some(32, 1, 3, 3), "v": some(32, 32, 1, 1)},
    ),
    "groups": (
        [node("Conv", "xw", "h", **SAME), node("Conv", "hv", "y", group=2)],
        (1, 3, 9, 12),
        {"w": WIDE["w"], "v": some(32, 16, 3, 3)},
    ),
    "pools": (
        [
            node("Conv", "xwb", "h", **SAME),
            node("MaxPool", "h", "p", kernel_shape=[2, 2], strides=[2, 2]),
            node("AveragePool", "p", "q", kernel_shape=[2, 2], **SAME),
            node("Conv", "qv", "y"),
        ],
        (1, 3, 20, 24),
        WIDE,
    ),
    "one number a channel": (
        [
            node("Conv", "xw", "h"),
            node("GlobalAveragePool", "h", "p"),
            node("Conv", "pv", "c"),
            node("Relu", "c", "y"),
        ],
        (2, 3, 9, 12),
        {"w": WIDE["w"], "v": some(32, 32, 1, 1)},
    ),
    "channels last": (
        [
            node("Transpose", "x", "first", perm=[0, 3, 1, 2]),
            node("Conv", ["first", "w"], "h", **SAME),
            node("Transpose", "h", "y", perm=[0, 2, 3, 1]),
        ],
        (1, 9, 12, 32),
        {"w": some(29, 32, 3, 3)},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_blocks_become_images_again(case: str, run: Runs, tmp_path: Path) -> None:
    nodes, shape, constants = CASES[case]
    model = saved_in_blocks(tmp_path, nodes, shape, constants)
    sound = some(*(each if isinstance(each, int) else 11 for each in shape))
    before = run(model, x=sound)
    assert "Conv" in take_apart(model)
    assert {entry.domain for entry in model.opset_import} == {""}
    convolutions = [each for each in nodes if each.op_type == "Conv"]
    assert len(find_layers(model)) == len(convolutions)
    assert worst(before, run(model, x=sound)) < 2e-5


def test_layers_have_the_names_of_their_results(tmp_path: Path) -> None:
    nodes, shape, constants = CASES["channels that fill blocks"]
    model = saved_in_blocks(tmp_path, nodes, shape, constants)
    take_apart(model)
    assert [layer.name for layer in find_layers(model)] == ["r", "y"]


def test_blocks_of_another_size_stay_as_they_are(tmp_path: Path) -> None:
    nodes, shape, constants = CASES["channels that fill blocks"]
    model = saved_in_blocks(tmp_path, nodes, shape, constants)
    weight = next(each for each in model.graph.initializer if len(each.dims) == 4)
    other = onnx.numpy_helper.from_array(some(4, 3, 3, 3), weight.name)
    weight.CopyFrom(other)
    take_apart(model)
    assert "com.microsoft.nchwc" in {each.domain for each in model.graph.node}

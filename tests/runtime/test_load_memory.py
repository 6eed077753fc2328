"""Memory that opening a model takes, foretold from its graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.benchmarking.memory import measure_footprint
from quantkit.codecs.base import DecodeBuilder, blank
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.rounds import delayed, is_delayed, round_zeros
from quantkit.graph.artifact import save_model
from quantkit.runtime.load_memory import load_memory, load_memory_of

SHAPE = (1024, 2048)
LAYERS = 24


def products(codec_name: str, rounds: int = 1):
    """Products of integers by weights of :data:`SHAPE` and its transpose in turn."""
    codec = CodecChoice.parse(codec_name).make()
    builder = DecodeBuilder()
    zeros = round_zeros(rounds, builder)
    nodes, initializers, value = [], [], "features"
    for index in range(LAYERS):
        shape = SHAPE if index % 2 == 0 else SHAPE[::-1]
        read = {}
        for each in blank(codec, shape, 1, index):
            stored = read[each.part.name] = f"w{index}.{each.part.name}"
            initializers.append(each.to_tensor(stored))
            if rounds > 1 and is_delayed(each.part):
                read[each.part.name] = delayed(stored, zeros[index % rounds], builder)
        weight = codec.decode(shape, 1, read, builder)
        nodes += [
            helper.make_node(
                "DynamicQuantizeLinear", [value], [f"q{index}", f"s{index}", f"z{index}"]
            ),
            helper.make_node("MatMulInteger", [f"q{index}", weight, f"z{index}"], [f"m{index}"]),
            helper.make_node("Cast", [f"m{index}"], [f"y{index}"], to=TensorProto.FLOAT),
        ]
        value = f"y{index}"
    graph = helper.make_graph(
        [*builder.nodes, *nodes],
        "products",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", "frames", SHAPE[0]])],
        [helper.make_empty_tensor_value_info(value)],
        [*initializers, *builder.constants.values()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [1, 6])
@pytest.mark.parametrize("codec", ["int8", "bitplane:4", "codebook:4", "grouped:4"])
def test_the_peak_is_foretold(codec, rounds, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    save_model(products(codec, rounds), path)
    found = measure_footprint(path, 1)
    measured = found.peak_rss_bytes - found.idle_rss_bytes
    # The measured process also runs a clip.
    assert load_memory(path).peak_bytes == pytest.approx(measured, rel=0.25)


def test_rounds_lower_the_peak_and_leave_what_stays() -> None:
    at_once, in_rounds = (load_memory_of(products("grouped:4", rounds)) for rounds in (1, 6))
    assert in_rounds.peak_bytes < at_once.peak_bytes / 2
    assert in_rounds.resident_bytes == pytest.approx(at_once.resident_bytes, abs=100)


def test_what_stays_are_the_weights_that_kernels_read() -> None:
    int8 = load_memory_of(products("int8")).resident_bytes
    assert int8 > LAYERS * SHAPE[0] * SHAPE[1]
    for codec in ("bitplane:2", "grouped:4"):
        assert load_memory_of(products(codec)).resident_bytes == int8


def test_weights_of_layers_with_a_dequantize_linear_stay_integers() -> None:
    levels = np.ones((512, 512), np.int8)
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["weight", "scale"], ["float"]),
            helper.make_node("MatMul", ["x", "float"], ["y"]),
        ],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 512])],
        [helper.make_empty_tensor_value_info("y")],
        [
            numpy_helper.from_array(levels, "weight"),
            numpy_helper.from_array(np.float32(1), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    empty = helper.make_model(helper.make_graph([], "none", [], [], []))
    more = load_memory_of(model).resident_bytes - load_memory_of(empty).resident_bytes
    assert more == levels.nbytes + 4


def test_what_nobody_can_open_is_reckoned_by_its_weights() -> None:
    weight = numpy_helper.from_array(np.ones((64, 64), np.float32), "w")
    node = helper.make_node("Relu", ["w"], ["y"], domain="x.y")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "g", [], [output], [weight]))
    assert load_memory_of(model).peak_bytes > 64 * 64 * 4

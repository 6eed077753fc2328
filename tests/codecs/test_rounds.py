"""Decoders that are folded in rounds: few at a time, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from quantkit.codecs import rounds as module
from quantkit.codecs.base import DecodeBuilder, blank
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.rounds import allotted, delayed, is_delayed, round_zeros, rounds_for

SHAPE = (16, 32)


def decoders(codecs: list[str], rounds: int) -> onnx.ModelProto:
    """A decoder of each codec, the results multiplied by an input; each in the next round."""
    builder = DecodeBuilder()
    zeros = round_zeros(rounds, builder)
    nodes, initializers = [], []
    for index, name in enumerate(codecs):
        codec = CodecChoice.parse(name).make()
        read = {}
        for each in blank(codec, SHAPE, 0, index):
            part = each.part
            stored = read[part.name] = f"w{index}.{part.name}"
            initializers.append(each.to_tensor(stored))
            if rounds > 1 and is_delayed(part):
                read[part.name] = delayed(stored, zeros[index % rounds], builder)
        value = codec.decode(SHAPE, 0, read, builder)
        nodes.append(helper.make_node("Cast", [value], [f"float{index}"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"float{index}", "x"], [f"y{index}"]))
    graph = helper.make_graph(
        [*builder.nodes, *nodes],
        "decoders",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_empty_tensor_value_info(f"y{index}") for index in range(len(codecs))],
        [*initializers, *builder.constants.values()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def results(model: onnx.ModelProto) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.ones(1, np.float32)})


CODECS = ["grouped:4", "bitplane:3", "codebook:3", "bitplane:5", "grouped:2", "codebook:4"]


def test_the_decoded_weights_are_the_same_in_rounds() -> None:
    at_once = results(decoders(CODECS, 1))
    for one, other in zip(at_once, results(decoders(CODECS, 6)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_of_decoders_and_rounds_is_left_in_the_graph_that_runs(tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    model = decoders(CODECS, 6).SerializeToString()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(options.optimized_model_filepath)
    assert {node.op_type for node in optimised.graph.node} == {"Mul"}


@pytest.mark.parametrize("rounds", [2, 6])
def test_folding_takes_as_many_passes_as_there_are_rounds(rounds, capfd) -> None:
    options = ort.SessionOptions()
    options.log_severity_level = 0
    model = decoders(CODECS, rounds).SerializeToString()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    log = capfd.readouterr()
    passes = re.findall(r"GraphTransformer ConstantFolding modified: 1", log.err + log.out)
    assert len(passes) == rounds


def test_small_files_are_folded_at_once() -> None:
    assert rounds_for(5_600_000) == 1
    assert rounds_for(94_000_000) == module.ROUNDS


def test_weights_are_spread_evenly_with_the_larger_rounds_first() -> None:
    sizes = [1, 9, 5, 5, 4]
    loads = [0, 0, 0]
    for size, (number,) in zip(sizes, allotted([[size] for size in sizes], 3), strict=True):
        loads[number] += size
    assert sorted(loads, reverse=True) == loads
    assert max(loads) == 9


def test_fewer_weights_than_rounds_leave_late_rounds_empty() -> None:
    assert allotted([[7], [8]], 6) == [[1], [0]]


def test_pieces_of_a_weight_are_spread_over_all_rounds_in_their_order() -> None:
    assert allotted([[4, 4, 4], [1]], 6)[0] == [0, 2, 4]


def test_the_round_that_joins_pieces_gets_fewer_other_weights() -> None:
    pieces, *others = allotted([[6, 6, 6], *([2] for _ in range(8))], 3)
    assert pieces == [0, 1, 2]
    assert max(others) == [1]

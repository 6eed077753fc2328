"""A walk computes everything once, and what it hands on is what the whole model computes."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.errors import CorpusError, ModelError
from quantkit.sensitivity.layerwise import Unit, Walk
from tests.sensitivity.graphs import attention, residual


def feeds_of(build, count: int = 3):
    return [(f"clip{i}", build(frames=10 + 7 * i)[1]) for i in range(count)]


def position_of(model: onnx.ModelProto, output: str) -> int:
    return next(i for i, node in enumerate(model.graph.node) if output in node.output)


@pytest.mark.parametrize("memory", [0, 10_000_000])
@pytest.mark.parametrize(
    ("build", "layers"),
    [(residual, ("conv1", "conv2", "conv3")), (attention, ("query", "worth", "out", "head"))],
)
def test_rest_of_the_model_gives_the_result_of_the_whole_from_every_layer(
    build, layers, memory
) -> None:
    model, _ = build()
    feeds = feeds_of(build)
    output = model.graph.output[0].name
    with closing(Walk(model, output, feeds, memory=memory)) as walk:
        expected = list(walk.results())
        for layer in layers:
            position = position_of(model, layer)
            stop = walk.go_to(Unit(layer, position, position))
            stop.prepare()
            for clip, wanted in enumerate(expected):
                found = stop.finish(clip, stop.made(clip))
                np.testing.assert_allclose(found, wanted, atol=1e-5)
        folder = walk.folder
        assert walk.clips == ["clip0", "clip1", "clip2"]
    assert not folder.exists()


def test_change_of_a_layer_runs_through_all_that_reads_it() -> None:
    model, _ = residual()
    ((clip, feed),) = feeds_of(residual, 1)
    shifted = onnx.ModelProto()
    shifted.CopyFrom(model)
    position = position_of(model, "conv2")
    node = shifted.graph.node[position]
    node.output[0] = "before"
    add = helper.make_node("Add", ["before", "before"], ["conv2"])
    nodes = [*shifted.graph.node[: position + 1], add, *shifted.graph.node[position + 1 :]]
    del shifted.graph.node[:]
    shifted.graph.node.extend(nodes)
    with closing(Walk(shifted, "logits", [(clip, feed)], memory=1000)) as walk:
        (expected,) = walk.results()
    with closing(Walk(model, "logits", [(clip, feed)], memory=1000)) as walk:
        stop = walk.go_to(Unit("conv2", position, position))
        stop.prepare()
        (doubled,) = ({"conv2": 2 * each["conv2"]} for each in [stop.made(0)])
        np.testing.assert_allclose(stop.finish(0, doubled), expected, atol=1e-5)


def test_last_layer_has_nothing_behind_it() -> None:
    model, feed = residual()
    last = len(model.graph.node) - 3
    assert model.graph.node[last].output[0] == "sum3"
    with closing(Walk(model, "sum3", [("clip", feed)], memory=1000)) as walk:
        stop = walk.go_to(Unit("sum3", last, last))
        stop.prepare()
        made = {"sum3": np.float32(5)}
        assert stop.finish(0, made) == 5


def test_what_cannot_be_run_is_refused_in_words() -> None:
    model, feed = residual()
    with pytest.raises(CorpusError, match="at least one clip"):
        Walk(model, "logits", [], memory=0)
    with pytest.raises(ModelError, match="has an input x, which the clips do not give"):
        Walk(model, "logits", [("clip", {"y": feed["x"]})], memory=0)
    wrong = {"x": np.zeros((1, 5, 5), np.float32)}
    with (
        closing(Walk(model, "logits", [("short", wrong)], memory=0)) as walk,
        pytest.raises(ModelError, match="fails on clip short"),
    ):
        list(walk.results())


def test_operator_that_nothing_runs_is_named() -> None:
    model, feed = residual()
    model.graph.node[1].op_type, model.graph.node[1].domain = "Mystery", "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    with (
        closing(Walk(model, "logits", [("clip", feed)], memory=0)) as walk,
        pytest.raises(ModelError, match=r"the model does not load.*Mystery"),
    ):
        list(walk.results())

"""How often the rows of a vocabulary are read and said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from scipy.special import log_softmax, softmax

from quantkit.graph.layers import find_layers
from quantkit.quantization.channel_use import (
    FEWEST_CHANNELS,
    LabelsSaid,
    RowsRead,
    channel_use,
    counted,
)
from quantkit.quantization.tied_weights import separate_transposes
from tests.small_graphs import language_model

WORDS = FEWEST_CHANNELS


def uses_of(model: onnx.ModelProto):
    separate_transposes(model)
    return channel_use(model, find_layers(model))


def test_rows_are_counted_from_either_end() -> None:
    read = RowsRead(5)
    read.update(np.array([[0, 1, 1], [-1, 4, 0]]))
    np.testing.assert_array_equal(read.counts, [2, 2, 0, 0, 2])


@pytest.mark.parametrize("scale", [softmax, log_softmax, lambda values, _: values])
def test_labels_count_as_much_as_they_are_probable(scale) -> None:
    logits = np.random.default_rng(0).standard_normal((3, 70, 6)).astype(np.float32) * 4
    said = LabelsSaid(6)
    for clip in logits:
        said.update(scale(clip[None], -1))
    np.testing.assert_allclose(said.counts, softmax(logits, -1).sum(axis=(0, 1)), rtol=1e-4)


@pytest.mark.parametrize("form", ["transpose", "copy", "gemm", "untied"])
def test_the_embedding_counts_its_tokens_and_the_last_layer_its_labels(form) -> None:
    uses = uses_of(language_model(form, WORDS))
    assert {name: (use.value, type(use.tracker)) for name, use in uses.items()} == {
        "embedding": ("ids", RowsRead),
        "head": ("y", LabelsSaid),
    }
    assert {use.channels for use in uses.values()} == {WORDS}


def test_bias_and_softmax_may_follow() -> None:
    model = language_model("copy", WORDS)
    (output,) = model.graph.output
    output.name = "posteriors"
    bias = onnx.numpy_helper.from_array(np.zeros(WORDS, np.float32), "bias")
    model.graph.initializer.append(bias)
    model.graph.node.append(helper.make_node("Add", ["y", "bias"], ["biased"], "add"))
    model.graph.node.append(helper.make_node("LogSoftmax", ["biased"], ["posteriors"], "norm"))
    assert uses_of(model)["head"].value == "posteriors"


def test_what_is_no_vocabulary_has_no_use() -> None:
    assert uses_of(language_model("copy", WORDS - 1)) == {}
    # Nor has a last layer whose results go through something that mixes them.
    model = language_model("copy", WORDS)
    (output,) = model.graph.output
    output.name = "active_y"
    model.graph.node.append(helper.make_node("Relu", ["y"], ["active_y"], "relu"))
    assert list(uses_of(model)) == ["embedding"]


def test_labels_that_are_ruled_out_are_not_counted() -> None:
    model = language_model("copy", WORDS)
    (output,) = model.graph.output
    output.name = "allowed"
    ruled_out = np.zeros(WORDS, np.float32)
    ruled_out[7] = -np.inf
    model.graph.initializer.append(onnx.numpy_helper.from_array(ruled_out, "ruled_out"))
    model.graph.node.append(helper.make_node("Add", ["y", "ruled_out"], ["allowed"], "rule_out"))
    assert list(uses_of(model)) == ["embedding"]


def test_layers_with_one_weight_have_the_use_of_all() -> None:
    uses = uses_of(language_model("copy", WORDS))
    uses["embedding"].tracker.update(np.array([3, 3]))
    uses["head"].tracker.update(np.log(np.full((1, 1, WORDS), 1 / WORDS, np.float32)))
    together = counted(uses, [("embedding", "head")])
    assert together["embedding"][3] == pytest.approx(2 + 1 / WORDS)
    np.testing.assert_array_equal(together["embedding"], together["head"])
    apart = counted(uses, [])
    assert apart["embedding"].sum() == 2
    assert apart["head"].sum() == pytest.approx(1, rel=1e-4)


def test_a_layer_of_which_nothing_was_seen_has_no_use() -> None:
    assert counted(uses_of(language_model("copy", WORDS)), []) == {}

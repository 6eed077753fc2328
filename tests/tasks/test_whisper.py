"""What there is to know about Whisper."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import graph_entries, roles_of
from quantkit.graph.roles import State
from quantkit.tasks.whisper import WhisperTask

TASK = WhisperTask()


def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def whole() -> onnx.ModelProto:
    """Names only."""
    graph = helper.make_graph(
        [],
        "whole",
        [value("features", 1, 80, "frames"), value("past.0.key", "batch", 2, "past", 8)],
        [
            value("log_probs", 1, 1, 9),
            value("present.0.key", "batch", 2, "total", 8),
            value("cross.0.key", 1, 2, 8, "heard"),
        ],
    )
    return helper.make_model(graph)


def test_a_whole_graph_is_an_encoder_and_a_decoder_with_states() -> None:
    model = whole()
    TASK.mark_graphs(model)
    assert set(graph_entries(model)) == {"quantkit.decoder"}
    encoder, decoder = roles_of(model)
    assert (encoder.role, decoder.role) == TASK.roles
    assert encoder.outputs == ("cross.0.key",)
    assert decoder.outputs == ("log_probs", "present.0.key")
    assert not encoder.per_token
    assert decoder.per_token
    assert decoder.states == (State("past.0.key", "present.0.key", ("batch", 2, 0, 8)),)
    assert decoder.states[0].initial(5).shape == (5, 2, 0, 8)


def test_its_posteriors_are_of_tokens_and_several_windows_are_heard() -> None:
    assert TASK.unit == "token"
    assert TASK.fewest_feeds == 8


def test_a_clip_is_at_most_a_window() -> None:
    assert TASK.clip_shape([1, 80, "frames"], 500) == (1, 80, 500)
    assert TASK.clip_shape([1, 80, "frames"], 500_000) == (1, 80, 3_000)


def test_a_bundle_of_it_is_refused_and_nobody_adopts_one() -> None:
    assert TASK.adoption is None
    with pytest.raises(ModelError, match="carries no vocabulary or front end of a Whisper"):
        TASK.bundle_contents(ArtifactInfo(task="whisper"), Path("m.onnx"))

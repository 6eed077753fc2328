"""Graphs of an artifact run by role, and their states go from run to run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.errors import ModelError
from quantkit.runtime.graph_sessions import GraphSessions
from tests.tasks.transducer import write_transducer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_transducer(tmp_path / "toy.onnx")


def test_a_graph_takes_what_it_needs_of_what_is_there(path: Path) -> None:
    graphs = GraphSessions.load(path)
    assert list(graphs.sessions) == ["encoder", "predictor", "joiner"]
    assert graphs.states("encoder") == {}
    first = graphs.states("predictor")
    made = graphs.run("predictor", {"tokens": np.array([[2]]), "features": np.zeros(1), **first})
    assert set(made) == {"predicted", "last"}
    assert graphs.next_states("predictor", made)["previous"].tolist() == [[2]]


def test_an_artifact_of_one_graph_has_one_session(artifact: Path) -> None:
    graphs = GraphSessions.load(artifact)
    assert list(graphs.sessions) == ["model"]
    assert graphs.metadata["quantkit.task"] == "ctc"


def test_what_fails_is_said_by_role(path: Path) -> None:
    graphs = GraphSessions.load(path)
    with pytest.raises(ModelError, match=r"the encoder fails on features \(1, 3\)"):
        graphs.run("encoder", {"features": np.zeros((1, 3), np.float32)})


def test_a_missing_file_is_named(path: Path) -> None:
    path.with_name("toy.joiner.onnx").unlink()
    with pytest.raises(ModelError, match=r"toy\.joiner\.onnx: no such file"):
        GraphSessions.load(path)

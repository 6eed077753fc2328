"""Split layers of the study multiply less, and are layers that ONNX Runtime runs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from benchmarks.structure_limits import Grouped, Recurrent, convolution, lstm
from quantkit.graph.layers import find_layers
from quantkit.runtime.session import create_session

SMALL = Recurrent(16, 3)
GROUPS = Grouped(24, 3, 8, 20)


def outputs(model: onnx.ModelProto, feed, folder) -> list[np.ndarray]:
    path = folder / "layer.onnx"
    onnx.save(model, path)
    return create_session(path).run(None, feed)


def parameters(model: onnx.ModelProto) -> int:
    return sum(layer.parameters for layer in find_layers(model))


@pytest.mark.parametrize("rank", [0, 8])
def test_an_lstm_keeps_its_shapes(rank, tmp_path) -> None:
    feed = {"x": np.ones((3, 1, 16), np.float32)} | dict.fromkeys(
        "hc", np.zeros((1, 1, 16), np.float32)
    )
    y, hidden, _ = outputs(lstm(SMALL, rank), feed, tmp_path)
    assert y.shape == (3, 1, 1, 16)
    assert hidden.shape == (1, 1, 16)


@pytest.mark.parametrize("rank", [0, 4])
def test_a_grouped_convolution_keeps_its_shape(rank, tmp_path) -> None:
    feed = {"x": np.ones((1, 24, 20), np.float32)}
    (y,) = outputs(convolution(GROUPS, rank), feed, tmp_path)
    assert y.shape == (1, 24, 20)


def test_parts_have_fewer_weights() -> None:
    assert parameters(lstm(SMALL, 8)) < parameters(lstm(SMALL, 0))
    assert parameters(convolution(GROUPS, 4)) == pytest.approx(
        parameters(convolution(GROUPS, 0)) * (0.5 + 4 / 8 / 8)
    )

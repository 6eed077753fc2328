"""Two finished files are held against each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.sensitivity.model_divergence import model_divergence

CLIPS = [("one", {"x": np.array([[0.0, 2.0]], np.float32)})]


def logits(path: Path, *offsets: float) -> Path:
    """A model whose two posteriors per frame follow from its input plus ``offsets``."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "offsets"], ["y"])],
        "logits",
        [value("x", TensorProto.FLOAT, ["batch", 2])],
        [value("y", TensorProto.FLOAT, ["batch", len(offsets)])],
        [helper.make_tensor("offsets", TensorProto.FLOAT, [len(offsets)], offsets)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, path)
    return path


def feeds(clips=CLIPS) -> CalibrationData:
    return CalibrationData.of(clips, ArtifactInfo())


def test_it_is_the_mean_kullback_leibler_divergence_per_frame(tmp_path: Path) -> None:
    source, other = logits(tmp_path / "a.onnx", 0.0, 0.0), logits(tmp_path / "b.onnx", 0.0, 0.5)
    p = np.exp([0.0, 2.0]) / np.exp([0.0, 2.0]).sum()
    q = np.exp([0.0, 2.5]) / np.exp([0.0, 2.5]).sum()
    expected = float((p * np.log(p / q)).sum())
    assert model_divergence(source, other, feeds()).mean == pytest.approx(expected, rel=1e-4)


def test_frames_count_as_they_are_weighted(tmp_path: Path) -> None:
    source, other = logits(tmp_path / "a.onnx", 0.0, 0.0), logits(tmp_path / "b.onnx", 0.0, 0.5)
    # The second label is said most often, so it is the blank; only in the first is something said.
    frames = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 3.0]], np.float32)
    alone = [
        model_divergence(source, other, feeds([("x", {"x": row[None]})])).mean for row in frames
    ]
    together = feeds([("x", {"x": frames})])
    uniform = model_divergence(source, other, together).mean
    spoken = model_divergence(source, other, together, weighting="spoken").mean
    assert uniform == pytest.approx(np.mean(alone), rel=1e-4)
    assert spoken == pytest.approx(np.average(alone, weights=[20, 1, 1, 1]), rel=1e-4)


def test_a_model_does_not_differ_from_itself(tmp_path: Path) -> None:
    source = logits(tmp_path / "a.onnx", 0.0, 0.3)
    assert model_divergence(source, source, feeds()).mean == 0.0


def test_how_sure_it_is_is_said_where_there_are_clips_enough(tmp_path: Path) -> None:
    source, other = logits(tmp_path / "a.onnx", 0.0, 0.0), logits(tmp_path / "b.onnx", 0.0, 0.5)
    random = np.random.default_rng(0)
    clips = [(str(i), {"x": random.standard_normal((5, 2)).astype(np.float32)}) for i in range(8)]
    assert model_divergence(source, other, feeds(clips[:7])).interval is None
    found = model_divergence(source, other, feeds(clips))
    assert found.interval is not None
    low, high = found.interval
    assert 0 < low < found.mean < high


def test_nan_is_named_with_its_clip(tmp_path: Path) -> None:
    source = logits(tmp_path / "a.onnx", 0.0, 0.0)
    with pytest.raises(ModelError, match="clip one"):
        model_divergence(source, logits(tmp_path / "b.onnx", 0.0, np.nan), feeds())


def test_another_input_is_refused(tmp_path: Path) -> None:
    source = logits(tmp_path / "a.onnx", 0.0, 0.0)
    clips = [("one", {"x": np.zeros((1, 3), np.float32)})]
    with pytest.raises(ModelError, match="cannot be compared on clip one"):
        model_divergence(source, source, feeds(clips))


def test_without_clips_nothing_can_be_said(tmp_path: Path) -> None:
    source = logits(tmp_path / "a.onnx", 0.0, 0.0)
    with pytest.raises(CorpusError, match="no clip"):
        model_divergence(source, source, feeds([]))

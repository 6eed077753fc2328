"""A classifier hears keywords; bench counts the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.settings import BenchSettings
from quantkit.benchmarking.tables import tables_of
from quantkit.errors import ModelError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.runtime.classifier import Classifier
from quantkit.runtime.interleaved import Effort
from quantkit.tasks.open import open_speech_model
from tests.waves import write_wave

CLASSES = ("soft", "loud")


def loudness_model(path: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """``loud`` where the sum of squares of the clip is above 10."""
    nodes = [
        helper.make_node("ReduceSumSquare", ["waveform", "axis"], ["power"], keepdims=1),
        helper.make_node("Sub", ["power", "threshold"], ["over"]),
        helper.make_node("Neg", ["over"], ["under"]),
        helper.make_node("Concat", ["under", "over"], ["scores"], axis=1),
        helper.make_node("LogSoftmax", ["scores"], ["log_probs"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "loudness",
        [
            helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["b", "samples"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
        ],
        [helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, ["b", 2])],
        [
            helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
            helper.make_tensor("threshold", TensorProto.FLOAT, [1], [10.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    info = ArtifactInfo(
        frontend=WaveformFrontend(), fused=True, task="classification", classes=classes
    )
    set_info(model, info)
    onnx.checker.check_model(model)
    save_model(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return loudness_model(tmp_path / "loudness.onnx")


def test_the_likeliest_class_is_its_text(model: Path) -> None:
    classifier = open_speech_model(model)
    assert isinstance(classifier, Classifier)
    soft, loud = np.full(800, 0.01, np.float32), np.full(1_600, 0.5, np.float32)
    outputs = classifier.outputs([soft, loud])
    assert [classifier.text_of(output) for output in outputs] == ["soft", "loud"]
    assert classifier.outputs([]) == []
    assert not classifier.problem_of(outputs[0])


def test_loss_is_the_cross_entropy(model: Path) -> None:
    classifier = open_speech_model(model)
    (output,) = classifier.outputs([np.full(800, 0.01, np.float32)])
    assert classifier.loss(output, "soft") == pytest.approx(-output[0])
    assert classifier.loss(output, "medium") is None


def test_classes_must_be_named(tmp_path: Path) -> None:
    path = loudness_model(tmp_path / "nameless.onnx", classes=())
    with pytest.raises(ModelError, match="does not name its classes"):
        _ = open_speech_model(path).scoring


def test_an_unknown_task_is_refused(model: Path, tmp_path: Path) -> None:
    content = onnx.load(model)
    set_info(content, ArtifactInfo(task="translation"))
    save_model(content, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="a 'translation' model; known tasks: ctc"):
        open_speech_model(tmp_path / "other.onnx")


def test_bench_shows_accuracy(model: Path, tmp_path: Path) -> None:
    clips = []
    for index, (said, loudness) in enumerate([("soft", 0.01), ("LOUD", 0.5), ("soft", 0.5)]):
        path = write_wave(tmp_path / f"{index}.wav", loudness)
        clips.append(Utterance(path, text=said, name=str(index)))
    settings = BenchSettings(
        batch_sizes=(1,), threads=(1,), effort=Effort(rounds=2, min_rounds=1, seconds=0.1)
    )
    report = run_bench([model], Corpus("loudness", tuple(clips)), settings)
    assert (report.unit, report.decoder) == ("keywords", "none")
    assert report.models[0].cer == pytest.approx(1 / 3)
    table = next(t for t in tables_of(report) if "accuracy %" in t.columns)
    assert table.rows[0][table.columns.index("accuracy %")] == "66.7"


def test_a_long_clip_gets_the_mean_of_its_pieces(tmp_path: Path) -> None:
    model = Classifier.load(loudness_model(tmp_path / "model.onnx"))
    clip = np.zeros(80 * 16_000, np.float32)
    clip[:4] = 2.0
    (output,) = model.outputs([clip])
    # 30 of 80 seconds are loud for certain, the others soft.
    np.testing.assert_allclose(np.exp(output), [50 / 80, 30 / 80], atol=1e-4)
    np.testing.assert_allclose(model.long_output(iter([clip[:100], clip[100:]])), output)


def test_an_output_of_another_shape_is_named(tmp_path: Path) -> None:
    path = loudness_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[-1].op_type = "ReduceMax"
    del model.graph.node[-1].attribute[:]
    model.graph.node[-1].attribute.append(helper.make_attribute("keepdims", 0))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    save_model(model, path)
    with pytest.raises(ModelError, match="output log_probs must have 2 axes"):
        Classifier.load(path).outputs([np.zeros(100, np.float32)])

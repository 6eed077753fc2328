"""Recurrent layers are trained through the grids of their two weights, like any other layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import quantkit
from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.settings import FinetuneSettings
from quantkit.finetuning.student import Student, finished, make_student
from quantkit.graph.artifact import save_model, total_size
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.session import create_session
from tests.recurrent_model import recurrent_recogniser
from tests.small_model import Clip

_RECURRENT = ("lstm.W", "lstm.R", "gru.W", "gru.R")
_OUTPUTS = ("log_probs", "output_lengths")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    save_model(recurrent_recogniser(), path)
    return path


def _made(source: Path, clips: list[Clip], compute: str, codec: str) -> tuple[Student, tuple]:
    prepared = PreparedModel.of(source)
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))  # type: ignore[arg-type]
    feeds = prepared.feeds(clips)
    target = source.with_name("tuned.onnx")
    assigned, seen = choices_and_observations(prepared, target, settings, None, feeds, True, None)
    return make_student(assigned, seen, _OUTPUTS), (assigned, seen)


def _disturb(student: Student) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    student.refresh()


def _said(student: Student, feed: dict[str, np.ndarray]) -> np.ndarray:
    inputs = {name: torch.from_numpy(values) for name, values in feed.items()}
    with torch.no_grad():
        found: np.ndarray = student(inputs)["log_probs"].numpy()
    return found


def _read_by(path: Path, node: str, position: int) -> np.ndarray:
    """What a node reads, as ONNX Runtime rebuilds it."""
    model = onnx.load(path)
    name = next(n.input[position] for n in model.graph.node if n.name == node)
    model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feed = {"features": np.zeros((1, 20, 40), np.float32), "lengths": np.array([20])}
    return np.asarray(session.run([name], feed)[0])


def _in_steps(stored: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Levels of a weight that is stored with float16 scales."""
    found: np.ndarray = np.rint(stored.reshape(len(scale), -1) / scale)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compute", "codec"),
    [
        ("float32", "grouped:2"),
        ("float32", "binary"),
        ("dynamic", "bitplane:3"),
        ("dynamic", "codebook:2,scope=channel"),
    ],
)
def test_the_finished_file_holds_and_computes_what_was_trained(
    source: Path, clips: list[Clip], tmp_path: Path, compute: str, codec: str
) -> None:
    student, (assigned, seen) = _made(source, clips, compute, codec)
    assert set(_RECURRENT) <= set(student.layers)
    before = [_said(student, feed) for _, feed in clips]
    _disturb(student)
    levels = {name: each.levels().detach().numpy() for name, each in student.weights.items()}
    scales = {name: each.scale.detach().numpy() for name, each in student.weights.items()}
    model, _ = finished(assigned, seen, student)
    path = tmp_path / "tuned.onnx"
    save_model(model, path)

    session = create_session(path)
    for (_, feed), earlier in zip(clips, before, strict=True):
        (found,) = session.run(["log_probs"], feed)
        moved = np.abs(found - earlier).mean()
        # The integer kernel of an LSTM rounds its states, too; so its results are off by 1 %.
        assert np.abs(found - _said(student, feed)).mean() < 0.1 * moved
    for name in ("gru.W", "gru.R"):
        stored = _read_by(path, "gru", 1 if name == "gru.W" else 2)
        np.testing.assert_array_equal(_in_steps(stored, scales[name]), levels[name])
    for position, name in ((1, "lstm.W"), (2, "lstm.R")):
        stored = _read_by(path, "lstm", position)
        if compute == "dynamic":
            # The kernel reads the integers themselves, transposed.
            rows = stored.transpose(0, 2, 1).reshape(levels[name].shape)
            np.testing.assert_array_equal(rows, levels[name])
        else:
            np.testing.assert_array_equal(_in_steps(stored, scales[name]), levels[name])


def test_gradients_reach_both_weights_and_the_bias(source: Path, clips: list[Clip]) -> None:
    student, _ = _made(source, clips, "dynamic", "bitplane:2")
    inputs = {name: torch.from_numpy(values) for name, values in clips[0][1].items()}
    student(inputs)["log_probs"].square().sum().backward()
    for name in _RECURRENT:
        gradient = student.weights[name].steps.grad
        assert gradient is not None
        assert gradient.any(dim=1).all(), name
    # Those of recurrent layers keep their names, so that files are as large as foretold.
    assert set(student.biases) == {"conv.trained_bias", "lstm.b", "gru.b"}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    loudness = [np.exp(rng.standard_normal(8)).repeat(1_500) for _ in range(12)]
    return [(0.02 * each * rng.standard_normal(12_000)).astype(np.float32) for each in loudness]


@pytest.mark.slow
def test_a_transducer_is_taught_on_the_paths_of_its_float_model(
    recordings: list[np.ndarray], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    from tests.parakeet import save, tiny

    folder = save(tmp_path / "theirs", tiny("ParakeetForTDT", durations=[0, 1, 2]))
    source = quantkit.export(folder, tmp_path / "float32.onnx").path
    settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("bitplane:2"))
    heard = {"audio": recordings, "sample_rate": 16_000}
    plain = quantkit.quantize(source, tmp_path / "plain.onnx", settings, **heard)
    short = FinetuneSettings(minutes=5, steps=40, learning_rate=1e-2, precision="float32")
    made = quantkit.finetune(source, tmp_path / "tuned.onnx", settings, **heard, settings=short)
    assert made.steps == 40
    assert made.divergence < 0.9 * made.divergence_before
    assert total_size(made.path) == plain.size_bytes
    rows = {row.name: row for row in made.plan.layers}
    assert {"predictor.lstm.0.W", "predictor.lstm.0.R"} <= set(rows)
    assert quantkit.load(made.path).transcribe(recordings[0], 16_000).text is not None

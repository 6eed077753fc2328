"""Somebody's .onnx becomes an artifact, whatever it calls its inputs and outputs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.audio.frontend import Frontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError
from quantkit.exporting.adopt import adopt
from quantkit.graph.artifact import load_model, read_info
from quantkit.graph.layers import find_layers
from quantkit.runtime.recognizer import Recognizer
from quantkit.tasks.open import open_speech_model

LABELS = ("<blank>", "|", "a", "b", "<unk>")
CHANNELS, WINDOW, STRIDE = 6, 25, 10

Axes = Sequence[int | str]


def foreign(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, tuple[int, Axes]],
    outputs: dict[str, Axes],
    opset: int = 18,
) -> Path:
    random = np.random.default_rng(0)
    constants: dict[str, Any] = {
        "w": random.standard_normal((CHANNELS, 1, WINDOW)).astype(np.float32),
        "head": random.standard_normal((CHANNELS, len(LABELS))).astype(np.float32),
        "bands": random.standard_normal((40, len(LABELS))).astype(np.float32),
        "axis0": np.array([0]),
        "axis1": np.array([1]),
        "axis2": np.array([2]),
    }
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        list(nodes),
        "theirs",
        [helper.make_tensor_value_info(n, kind, axes) for n, (kind, axes) in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, axes) for n, axes in outputs.items()],
        [numpy_helper.from_array(v, n) for n, v in constants.items() if n in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, path)
    return path


def recogniser(audio: str = "input_values") -> list[onnx.NodeProto]:
    """(batch, samples) → (batch, frames, labels)."""
    return [
        helper.make_node("Unsqueeze", [audio, "axis1"], ["channel"]),
        helper.make_node("Conv", ["channel", "w"], ["c"], "first", strides=[STRIDE]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "head"], ["logits"], "head_product"),
    ]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return foreign(
        tmp_path / "theirs.onnx",
        recogniser(),
        {"input_values": (TensorProto.FLOAT, ["b", "n"])},
        {"logits": ["b", "f", len(LABELS)]},
    )


def run_alone(path: Path, clip: np.ndarray[Any, Any], **more: Any) -> np.ndarray[Any, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    logits = session.run(None, {name: clip[None], **more})[0][0]
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return np.log(exponents / exponents.sum(-1, keepdims=True))


def test_a_recogniser_gets_our_inputs_outputs_and_metadata(
    source: Path, labels: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.onnx"
    report = adopt(source, ours, labels, "ctc", name="theirs v1")
    assert report.reference == "the original"
    info = read_info(ours)
    assert (info.task, info.name, info.fused) == ("ctc", "theirs v1", True)
    assert info.frontend == WaveformFrontend(16_000, WINDOW)
    assert info.labels is not None
    assert (info.labels.tokens[1], info.labels.silent) == (" ", (4,))
    assert info.model_sha256 == sha256_of(source)
    assert [layer.name for layer in find_layers(load_model(ours))] == ["first", "head_product"]
    recognizer = Recognizer.load(ours)
    clip = np.random.default_rng(1).standard_normal(777).astype(np.float32)
    short, (found,) = clip[:300], recognizer.log_probs([clip])
    np.testing.assert_allclose(found, run_alone(source, clip), rtol=1e-4, atol=1e-5)
    together = recognizer.log_probs([clip, short, clip[:3]])
    assert [len(output) for output in together] == [76, 28, 0]
    np.testing.assert_allclose(together[1], recognizer.log_probs([short])[0], rtol=1e-4, atol=1e-5)


def test_names_that_are_also_ours_do_no_harm(tmp_path: Path, labels: Path) -> None:
    nodes = recogniser("waveform")
    nodes[1].output[0] = nodes[2].input[0] = "lengths"
    nodes[3].output[0] = nodes[4].input[0] = "log_probs"
    path = foreign(
        tmp_path / "theirs.onnx",
        nodes,
        {"waveform": (TensorProto.FLOAT, ["b", "n"])},
        {"logits": ["b", "f", len(LABELS)]},
    )
    assert adopt(path, tmp_path / "ours.onnx", labels, "ctc").worst.difference < 1e-4


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL])
def test_a_mask_is_made_of_the_lengths(tmp_path: Path, labels: Path, kind: int) -> None:
    nodes = [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["input_values", "mask"], ["masked"]),
        *recogniser("masked"),
    ]
    path = foreign(
        tmp_path / "theirs.onnx",
        nodes,
        {
            "input_values": (TensorProto.FLOAT, ["b", "n"]),
            "attention_mask": (kind, ["b", "n"]),
        },
        {"logits": ["b", "f", len(LABELS)]},
    )
    adopt(path, tmp_path / "ours.onnx", labels, "ctc")
    session = Recognizer.load(tmp_path / "ours.onnx").session
    clip = np.ones((1, 500), np.float32)
    noisy = np.concatenate([clip, np.full((1, 300), 9.0, np.float32)], 1)
    (alone, _), (padded, lengths) = (
        session.run(None, {"waveform": w, "lengths": np.array([500])}) for w in (clip, noisy)
    )
    assert lengths.tolist() == [48]
    np.testing.assert_allclose(padded[:, :48], alone, rtol=1e-5, atol=1e-5)


def test_loudness_and_offset_do_not_matter_to_a_model_of_normalized_clips(
    source: Path, labels: Path, tmp_path: Path
) -> None:
    adopt(source, tmp_path / "ours.onnx", labels, "ctc", normalize=True)
    session = Recognizer.load(tmp_path / "ours.onnx").session
    clip = np.random.default_rng(3).standard_normal((1, 500)).astype(np.float32)
    normalized = (clip - clip.mean()) / clip.std()
    adopt(source, tmp_path / "as_it_is.onnx", labels, "ctc")
    plain = Recognizer.load(tmp_path / "as_it_is.onnx").session
    feed = {"waveform": normalized, "lengths": np.array([500])}
    expected = plain.run(["log_probs"], feed)[0]
    # What lies behind the end of a clip in a batch is not part of its loudness.
    loud = np.concatenate([0.3 * clip + 0.2, np.full((1, 300), 9.0, np.float32)], 1)
    feed = {"waveform": loud.astype(np.float32), "lengths": np.array([500])}
    found, lengths = session.run(None, feed)
    assert lengths.tolist() == [48]
    np.testing.assert_allclose(found[:, :48], expected, atol=1e-3)
    silence = {"waveform": np.zeros((1, 500), np.float32), "lengths": np.array([500])}
    assert np.isfinite(session.run(None, silence)[0]).all()


def test_lengths_are_passed_on(tmp_path: Path, labels: Path) -> None:
    nodes = [
        *recogniser(),
        helper.make_node("Cast", ["n"], ["n_float"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["n_float", "axes"], ["column"]),
        helper.make_node("Sub", ["logits", "column"], ["minus"]),
        helper.make_node("Add", ["minus", "column"], ["y"]),
    ]
    nodes.insert(0, helper.make_node("Concat", ["axis1", "axis2"], ["axes"], axis=0))
    path = foreign(
        tmp_path / "theirs.onnx",
        nodes,
        {"input_values": (TensorProto.FLOAT, ["b", "s"]), "n": (TensorProto.INT32, ["b"])},
        {"y": ["b", "f", len(LABELS)]},
    )
    adopt(path, tmp_path / "ours.onnx", labels, "ctc")
    assert [v.name for v in load_model(tmp_path / "ours.onnx").graph.input] == [
        "waveform",
        "lengths",
    ]


def test_one_clip_without_a_batch(tmp_path: Path, labels: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["audio", "axis0"], ["batched"]),
        *recogniser("batched"),
        helper.make_node("Squeeze", ["logits", "axis0"], ["flat"]),
    ]
    path = foreign(
        tmp_path / "theirs.onnx",
        nodes,
        {"audio": (TensorProto.FLOAT, ["n"])},
        {"flat": ["f", len(LABELS)]},
    )
    adopt(path, tmp_path / "ours.onnx", labels, "ctc")
    (found,) = Recognizer.load(tmp_path / "ours.onnx").log_probs([np.ones(325, np.float32)])
    assert found.shape == (31, len(LABELS))


def test_features_are_those_of_our_front_end(tmp_path: Path, labels: Path) -> None:
    path = foreign(
        tmp_path / "theirs.onnx",
        [helper.make_node("MatMul", ["mel", "bands"], ["logits"], "head")],
        {"mel": (TensorProto.FLOAT, ["b", "t", 40])},
        {"logits": ["b", "t", len(LABELS)]},
    )
    adopt(path, tmp_path / "ours.onnx", labels, "ctc", sample_rate=8_000)
    info = read_info(tmp_path / "ours.onnx")
    assert (info.frontend, info.fused) == (Frontend(sample_rate=8_000), False)


@pytest.mark.parametrize("ends", ["Softmax", "LogSoftmax", "Identity"])
@pytest.mark.parametrize("samples", ["n", 400])
def test_a_classifier_of_any_scale_and_of_fixed_length(
    tmp_path: Path, labels: Path, ends: str, samples: int | str
) -> None:
    attributes = {} if ends == "Identity" else {"axis": -1}
    nodes = [
        *recogniser(),
        helper.make_node("ReduceMean", ["logits", "axis1"], ["pooled"], keepdims=0),
        helper.make_node(ends, ["pooled"], ["scores"], **attributes),
    ]
    path = foreign(
        tmp_path / "theirs.onnx",
        nodes,
        {"input_values": (TensorProto.FLOAT, ["b", samples])},
        {"scores": ["b", len(LABELS)]},
    )
    adopt(path, tmp_path / "ours.onnx", labels, "classification")
    model = open_speech_model(tmp_path / "ours.onnx")
    for length in (350, 400, 450):
        (output,) = model.outputs([np.ones(length, np.float32)])
        assert np.exp(output).sum() == pytest.approx(1.0, abs=1e-4)
        assert model.text_of(output) in LABELS


def test_large_weights_stay_beside_the_model(source: Path, labels: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    onnx.save(
        onnx.load(source),
        outside,
        save_as_external_data=True,
        size_threshold=100,
        location="w.data",
    )
    report = adopt(outside, tmp_path / "ours.onnx", labels, "ctc")
    assert report.worst.difference < 1e-4


def test_labels_of_another_model_are_refused(source: Path, labels: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.onnx"
    ours.write_bytes(b"what was there")
    labels.write_text("_\na\nb\n")
    with pytest.raises(InputError, match="name 3 outputs, but the model has 5"):
        adopt(source, ours, labels, "ctc")
    assert ours.read_bytes() == b"what was there"


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ({"ids": (TensorProto.INT64, ["b", "n"])}, ["b", "f", 5], "one of float32 for audio"),
        ({"x": (TensorProto.FLOAT, ["b", "t", 80])}, ["b", "f", 5], "one of float32 for audio"),
        (
            {"x": (TensorProto.FLOAT, ["b", "n"]), "ratio": (TensorProto.FLOAT, ["b", 1, 1, 1])},
            ["b", "f", 5],
            "besides the audio",
        ),
        ({"x": (TensorProto.FLOAT, ["b", "n"])}, ["b", "f", 5, 1], r"one of float32 \(batch, fr"),
    ],
)
def test_other_inputs_and_outputs_are_named(
    tmp_path: Path, labels: Path, inputs: dict[str, Any], outputs: Axes, message: str
) -> None:
    nodes = [helper.make_node("Identity", [next(iter(inputs))], ["y"])]
    path = foreign(tmp_path / "theirs.onnx", nodes, inputs, {"y": outputs})
    with pytest.raises(ModelError, match=message):
        adopt(path, tmp_path / "ours.onnx", labels, "ctc")


def test_what_is_ours_or_lost_is_said(source: Path, labels: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.onnx"
    adopt(source, ours, labels, "ctc")
    with pytest.raises(InputError, match="is an artifact already"):
        adopt(ours, tmp_path / "again.onnx", labels, "ctc")
    with pytest.raises(InputError, match="itself read by this command"):
        adopt(source, source, labels, "ctc")
    with pytest.raises(InputError, match="there is no task 'asr'"):
        adopt(source, tmp_path / "again.onnx", labels, "asr")
    with pytest.raises(ModelError, match="cannot read model"):
        adopt(tmp_path / "none.onnx", tmp_path / "again.onnx", labels, "ctc")


@pytest.mark.slow
def test_it_needs_no_torch(source: Path, labels: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from quantkit.cli import main\n"
        f"main(['export', {str(source)!r}, '--labels', {str(labels)!r}, '--task', 'ctc', "
        f"'-o', {str(tmp_path / 'ours.onnx')!r}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ONNX Runtime agrees with the original to" in done.stdout

"""What lengths, masks and sample rates of other people's models mean is found out by running."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.exporting.adopt import adopt
from quantkit.graph.artifact import read_info
from quantkit.graph.interface import Interface, interface_in
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.recognizer import Recognizer
from tests.exporting.foreign_models import FLOAT, LABELS, Node, Port, node, of_samples, save
from tests.exporting.test_interfaces import corpus, declared, noise, plain_session, posteriors

BOOL, INT32, INT64 = TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64
_AUDIO: Port = ("audio", FLOAT, ["batch", "samples"])
_LOGITS: Port = ("logits", FLOAT, ["batch", "frames", len(LABELS)])

#: What is heard of the clip, given how many of its samples are the clip's own.
_CUT = [
    node("Shape", ["audio"], ["width"], start=1, end=2),
    node("Squeeze", ["width"], ["n"]),
    node("Range", ["none", "n", "one"], ["places"]),
    node("Unsqueeze", ["count", "axis1"], ["column"]),
    node("Less", ["places", "column"], ["inside"]),
]
_HEAR = [
    node("Cast", ["inside"], ["share"], to=FLOAT),
    node("Mul", ["audio", "share"], ["own"]),
    *of_samples(audio="own"),
]


def masked(*before: Node) -> list[Node]:
    """Zeros behind ``count`` samples, as ``before`` makes it of the model's input."""
    return [*before, *_CUT, *_HEAR]


#: Nodes, the further input, and what the original is fed of 6,000 of 8,000 samples.
KINDS: dict[str, tuple[list[Node], Port, np.ndarray]] = {
    "a number of one clip": (
        masked(node("Unsqueeze", ["length", "axis0"], ["count"])),
        ("length", INT64, []),
        np.array(6_000),
    ),
    "a column of lengths": (
        masked(node("Squeeze", ["lengths_of", "axis1"], ["count"])),
        ("lengths_of", INT64, ["batch", 1]),
        np.array([[6_000]]),
    ),
    "lengths in floating point": (
        masked(node("Cast", ["audio_len"], ["count"], to=INT64)),
        ("audio_len", FLOAT, ["batch"]),
        np.array([6_000], np.float32),
    ),
    "shares of the longest": (
        masked(
            node("Shape", ["audio"], ["all"], start=1, end=2),
            node("Cast", ["all"], ["all_wide"], to=FLOAT),
            node("Mul", ["audio_len", "all_wide"], ["some"]),
            node("Cast", ["some"], ["count"], to=INT64),
        ),
        ("audio_len", FLOAT, ["batch"]),
        np.array([0.75], np.float32),
    ),
    "a mask of the audio": (
        [node("Identity", ["attention_mask"], ["inside"]), *_HEAR],
        ("attention_mask", BOOL, ["batch", "samples"]),
        np.arange(8_000)[None] < 6_000,
    ),
    "a mask of the padding": (
        [node("Not", ["attention_mask"], ["inside"]), *_HEAR],
        ("attention_mask", BOOL, ["batch", "samples"]),
        np.arange(8_000)[None] >= 6_000,
    ),
    "a padding mask that marks the audio": (
        [node("Identity", ["padding_mask"], ["inside"]), *_HEAR],
        ("padding_mask", BOOL, ["batch", "samples"]),
        np.arange(8_000)[None] < 6_000,
    ),
    "a mask of bytes": (
        [node("Cast", ["mask"], ["inside"], to=BOOL), *_HEAR],
        ("mask", TensorProto.UINT8, ["batch", "samples"]),
        (np.arange(8_000)[None] < 6_000).astype(np.uint8),
    ),
}


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


def made(path: Path, nodes: list[Node], *inputs: Port) -> Path:
    """Such a model, with the constants that its nodes need."""
    save(path, nodes, [_AUDIO, *inputs], [_LOGITS])
    model = onnx.load(path)
    for name, value in {"none": np.array(0), "one": np.array(1), "rate": np.array(16_000)}.items():
        if any(name in each.input for each in nodes):
            model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save(model, path)
    return path


def interface_of(path: Path) -> Interface:
    found = interface_in(read_info(path).extra)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_a_clip_is_given_as_the_model_wants_it(
    kind: str, tmp_path: Path, labels: Path
) -> None:
    nodes, port, value = KINDS[kind]
    source = made(tmp_path / "theirs.onnx", nodes, port)
    ours = tmp_path / "ours.onnx"
    adopt(source, ours, labels, "ctc")
    clip = noise(8_000)[None]
    theirs = plain_session(source).run(None, {"audio": clip, port[0]: value})[0]
    found = Recognizer.load(ours).session.run(
        ["log_probs"], {"waveform": clip, "lengths": np.array([6_000])}
    )[0]
    np.testing.assert_allclose(found, posteriors(theirs), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["a column of lengths", "a mask of the padding"])
def test_what_is_made_of_it_takes_them_too(kind: str, tmp_path: Path, labels: Path) -> None:
    nodes, port, value = KINDS[kind]
    source, small = made(tmp_path / "theirs.onnx", nodes, port), tmp_path / "small.onnx"
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    quantize_model(PreparedModel(tmp_path / "ours.onnx"), small, "static-int8", corpus(8_000))
    assert declared(small) == declared(source)
    feed = {"audio": noise(8_000)[None], port[0]: value}
    expected, found = (plain_session(path).run(None, feed)[0] for path in (source, small))
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean()
    (log_probs,) = Recognizer.load(small).log_probs([noise(8_000)])
    assert np.isfinite(log_probs).all()


@pytest.mark.parametrize(
    ("name", "axes"), [("sr", []), ("sample_rate", [1]), ("sampling_rate", ["batch"])]
)
def test_a_sample_rate_is_given(
    name: str, axes: list[int | str | None], tmp_path: Path, labels: Path
) -> None:
    info = helper.make_tensor_value_info
    hear = helper.make_graph(
        [node("Identity", ["audio"], ["heard"])], "hear", [], [info("heard", FLOAT, None)]
    )
    deaf = helper.make_graph(
        [node("Sub", ["audio", "audio"], ["silent"])], "deaf", [], [info("silent", FLOAT, None)]
    )
    nodes = [
        node("ReduceMax", [name], ["highest"], keepdims=0),
        node("Equal", ["highest", "rate"], ["right"]),
        node("If", ["right"], ["own"], then_branch=hear, else_branch=deaf),
        *of_samples(audio="own"),
    ]
    source = made(tmp_path / "theirs.onnx", nodes, (name, INT64, axes))
    ours, small = tmp_path / "ours.onnx", tmp_path / "small.onnx"
    adopt(source, ours, labels, "ctc")
    rate = np.full([1] * len(axes), 16_000)
    clip = noise(8_000)
    feed = {"audio": clip[None], name: rate}
    expected = posteriors(plain_session(source).run(None, feed)[0][0])
    (found,) = Recognizer.load(ours).log_probs([clip])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # Branches read the audio, which the quantizer of ONNX Runtime does not see.
    quantize_model(PreparedModel(ours), small, "static-int8", corpus(8_000))
    assert declared(small) == declared(source)
    again = posteriors(plain_session(small).run(None, feed)[0][0])
    assert np.abs(again - expected).mean() < 0.1
    (read,) = Recognizer.load(small).log_probs([clip])
    np.testing.assert_allclose(read, again, atol=1e-4)


def test_an_integer_that_is_no_length_is_refused(tmp_path: Path, labels: Path) -> None:
    nodes = [
        node("Cast", ["voice"], ["wide"], to=FLOAT),
        node("Add", ["audio", "wide"], ["own"]),
        *of_samples(audio="own"),
    ]
    source = made(tmp_path / "theirs.onnx", nodes, ("voice", INT64, [1]))
    with pytest.raises(ModelError, match="input voice changes the result, and not as the length"):
        adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    nodes[1] = node("Where", ["never", "wide", "audio"], ["own"])
    nodes.insert(0, node("IsNaN", ["audio"], ["never"]))
    idle = made(tmp_path / "idle.onnx", nodes, ("voice", INT64, [1]))
    adopt(idle, tmp_path / "ours.onnx", labels, "ctc")
    assert interface_of(tmp_path / "ours.onnx").lengths is not None


def test_states_of_streaming_models_are_called_so(tmp_path: Path, labels: Path) -> None:
    nodes = [node("Concat", ["cache", "audio"], ["own"], axis=1), *of_samples(audio="own")]
    source = made(tmp_path / "theirs.onnx", nodes, ("cache", FLOAT, ["batch", 400]))
    with pytest.raises(ModelError, match="cache looks like a state between calls"):
        adopt(source, tmp_path / "ours.onnx", labels, "ctc")


def test_a_length_that_an_exporter_has_fixed_is_named(tmp_path: Path, labels: Path) -> None:
    nodes = [node("Reshape", ["audio", "example"], ["own"]), *of_samples(audio="own")]
    source = save(tmp_path / "theirs.onnx", nodes, [_AUDIO], [_LOGITS])
    model = onnx.load(source)
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 16_000]), "example"))
    onnx.save(model, source)
    reason = "runs on a clip of 16000 and not on one of 25600.*export it for any length"
    with pytest.raises(ModelError, match=reason):
        adopt(source, tmp_path / "ours.onnx", labels, "ctc")


@pytest.mark.parametrize("shape", [["batch", 1 << 62], [1 << 20, 16_000]])
def test_more_audio_than_can_be_tried_is_refused(
    shape: list[int | str], tmp_path: Path, labels: Path
) -> None:
    source = save(tmp_path / "theirs.onnx", of_samples(), [("audio", FLOAT, shape)], [_LOGITS])
    with pytest.raises(ModelError, match="more audio in a run than can be tried"):
        adopt(source, tmp_path / "ours.onnx", labels, "ctc")


def test_what_says_nothing_new_is_written_as_before(tmp_path: Path, labels: Path) -> None:
    """Files of earlier versions, and theirs of ours, stay equal byte for byte."""
    source = save(tmp_path / "theirs.onnx", of_samples(), [_AUDIO], [_LOGITS])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    text = interface_of(tmp_path / "ours.onnx").to_json()
    assert not any(word in text for word in ("rate", "inverted", "mask"))

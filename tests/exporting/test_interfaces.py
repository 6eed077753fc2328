"""Models of any inputs and outputs become artifacts, and what is made of them takes their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import quantkit
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError, ModelError
from quantkit.exporting.adopt import adopt
from quantkit.graph.artifact import read_info
from quantkit.graph.interface import interface_in
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.unpacking import unpack_model
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.tasks.ctc import CtcTask
from tests.exporting.foreign_models import (
    FLOAT,
    LABELS,
    Node,
    Port,
    features_models,
    node,
    of_samples,
    samples_models,
    save,
)

RATE = 16_000
SAMPLES, FEATURES = samples_models(), features_models()


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS) + "\n")
    return path


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def corpus(*lengths: int) -> Corpus:
    clips = [
        Utterance(None, name=f"clip{i}", waveform=noise(n, i), sample_rate=RATE, seconds=n / RATE)
        for i, n in enumerate(lengths)
    ]
    return Corpus("noise", tuple(clips))


def plain_session(path: Path) -> onnxruntime.InferenceSession:
    """As the program of somebody else opens a file."""
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def declared(path: Path) -> list[object]:
    """Names, types and shapes of inputs and outputs, as the file has them."""
    graph = onnx.load(path).graph
    return [(v.name, v.type) for v in (*graph.input, *graph.output)]


def posteriors(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    return wide - np.log(np.exp(wide).sum(-1, keepdims=True))


def feeds_of(inputs: list[Port], seed: int = 7) -> dict[str, np.ndarray]:
    """What the original program may feed: batches of the size that the model takes."""
    feeds: dict[str, np.ndarray] = {}
    random = np.random.default_rng(seed)
    for name, kind, axes in inputs:
        sizes = [2, 8_000] if axes is None or None in axes else list(axes)
        sizes = [8_000 if size in ("samples", "n") else size for size in sizes]
        shape = [{"batch": 2, "t": 100}.get(str(size), size) for size in sizes]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
        if len(shape) == 1 and shape[0] == 2:
            feeds[name] = np.array([shape[0] * 4_000, 6_000], dtype)
        elif np.dtype(dtype).kind == "i":
            feeds[name] = random.integers(-3_000, 3_000, shape).astype(dtype)
        else:
            scale = 1.0 if 80 in shape else 0.1
            feeds[name] = (scale * random.standard_normal(shape)).astype(dtype)
    return feeds


@pytest.mark.parametrize("kind", SAMPLES)
def test_each_gives_the_text_of_the_original(kind: str, tmp_path: Path, labels: Path) -> None:
    nodes, inputs, outputs = SAMPLES[kind]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, outputs)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    plain = save(tmp_path / "plain.onnx", *SAMPLES["plain"])
    clip = noise(8_000)
    expected = posteriors(plain_session(plain).run(None, {"audio": clip[None]})[0][0])
    (found,) = Recognizer.load(tmp_path / "ours.onnx").log_probs([clip])
    coarse = kind in ("float16 outside", "samples of 16 bits")
    np.testing.assert_allclose(found, expected, atol=0.02 if coarse else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLES)
def test_what_is_made_of_it_takes_its_place(kind: str, tmp_path: Path, labels: Path) -> None:
    nodes, inputs, outputs = SAMPLES[kind]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, outputs)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    clips = corpus(8_000, 12_000)
    prepared = PreparedModel(tmp_path / "ours.onnx")
    quantize_model(prepared, tmp_path / "small.onnx", "static-int8", clips)
    small = tmp_path / "small.onnx"
    assert declared(small) == declared(source)
    metadata = plain_session(small).get_modelmeta().custom_metadata_map
    assert (metadata["made_by"], metadata["quantkit.task"]) == ("somebody", "ctc")
    feeds = feeds_of(inputs)
    for found, expected in zip(
        plain_session(small).run(None, feeds), plain_session(source).run(None, feeds), strict=True
    ):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        apart = np.abs(found.astype(np.float64) - expected).mean()
        assert apart < 0.05 * max(1.0, np.abs(expected.astype(np.float64)).mean())
    # It is an artifact all the same.
    feeds_of_clips = prepared.feeds(clips)
    assert model_divergence(prepared, small, feeds_of_clips).mean < 0.02
    batch = [noise(8_000), noise(8_000, 1), noise(5_000, 2)]
    ours = Recognizer.load(tmp_path / "ours.onnx").log_probs(batch)
    for one, other in zip(Recognizer.load(small).log_probs(batch), ours, strict=True):
        assert one.shape == other.shape
        assert np.abs(one - other).mean() < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("kind", SAMPLES)
def test_a_float_file_with_its_own_interface_can_be_worked_on(
    kind: str, tmp_path: Path, labels: Path
) -> None:
    nodes, inputs, outputs = SAMPLES[kind]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, outputs)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    kept = tmp_path / "kept.onnx"
    quantize_model(tmp_path / "ours.onnx", kept, "float32")
    assert declared(kept) == declared(source)
    feeds = feeds_of(inputs)
    for found, expected in zip(
        plain_session(kept).run(None, feeds), plain_session(source).run(None, feeds), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    quantize_model(kept, tmp_path / "small.onnx", "static-int8", corpus(8_000))
    assert declared(tmp_path / "small.onnx") == declared(source)


@pytest.mark.slow
def test_an_unpacked_file_has_it_too(tmp_path: Path, labels: Path) -> None:
    nodes, inputs, outputs = SAMPLES["several outputs"]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, outputs)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    small, unpacked = tmp_path / "small.onnx", tmp_path / "unpacked.onnx"
    settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("bitplane:4"))
    quantize_model(tmp_path / "ours.onnx", small, settings)
    unpack_model(small, unpacked)
    assert declared(unpacked) == declared(source)
    both = (plain_session(path).run(None, feeds_of(inputs)) for path in (small, unpacked))
    for one, other in zip(*both, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_it_the_file_has_our_interface(tmp_path: Path, labels: Path) -> None:
    source = save(tmp_path / "theirs.onnx", *SAMPLES["several outputs"])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    prepared = PreparedModel(tmp_path / "ours.onnx", keep_interface=False)
    quantize_model(prepared, tmp_path / "small.onnx", "hybrid", corpus(8_000))
    names = [value.name for value in plain_session(tmp_path / "small.onnx").get_inputs()]
    assert names == ["waveform", "lengths"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("frontend", ["nemo-80", "kaldi-80", "whisper-80"])
def test_features_are_those_of_the_front_end_that_is_named(
    kind: str, frontend: str, tmp_path: Path, labels: Path
) -> None:
    nodes, inputs, outputs = FEATURES[kind]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, outputs)
    with pytest.raises(ModelError, match=r"say which( 80 bands these are)? with --frontend"):
        adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    adopt(source, tmp_path / "ours.onnx", labels, "ctc", frontend=frontend)
    model = Recognizer.load(tmp_path / "ours.onnx")
    hears = model.frontend
    clip = noise(40_000)
    frames = hears(clip)[: max(hears.frames_of(40_000), getattr(hears, "window_frames", 0))]
    if kind == "frames of one number":
        own = hears.frames_of(40_000)
        frames = np.concatenate([frames[:own], hears(clip)[own:300], np.zeros((300, 80))])[:300]
    audio = frames[None].astype(np.float32)
    feeds = {"features": audio if kind.startswith("frames before") else audio.transpose(0, 2, 1)}
    if len(inputs) > 1:
        feeds["length"] = np.array([audio.shape[1]])
    expected = posteriors(plain_session(source).run(None, feeds)[0][0])
    (found,) = model.log_probs([model.features(clip)])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("frontend", ["nemo-80", "kaldi-80", "whisper-80"])
def test_a_front_end_can_become_a_part_of_the_graph(
    frontend: str, tmp_path: Path, labels: Path
) -> None:
    source = save(tmp_path / "theirs.onnx", *FEATURES["bands before frames"])
    adopt(source, tmp_path / "apart.onnx", labels, "ctc", frontend=frontend)
    adopt(source, tmp_path / "fused.onnx", labels, "ctc", frontend=frontend, with_frontend=True)
    clip = noise(40_000)
    apart, fused = (Recognizer.load(tmp_path / f"{n}.onnx") for n in ("apart", "fused"))
    assert fused.session.get_inputs()[0].name == "waveform"
    (expected,), (found,) = (m.log_probs([m.features(clip)]) for m in (apart, fused))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_long_clip_is_cut_into_windows_of_one_length(tmp_path: Path, labels: Path) -> None:
    source = save(tmp_path / "theirs.onnx", *SAMPLES["one length"])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    clip = noise(20_000)
    (found,) = Recognizer.load(tmp_path / "ours.onnx").log_probs([clip])
    padded = np.pad(clip, (0, 4_000)).reshape(3, 8_000)
    expected = posteriors(plain_session(source).run(None, {"audio": padded})[0])
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-4)
    info = read_info(tmp_path / "ours.onnx")
    feeds = list(CtcTask().inputs(info).feeds(corpus(20_000, 8_000), []))
    assert [clip for clip, _ in feeds] == ["clip0", "clip0 at 8000", "clip0 at 16000", "clip1"]
    prepared = PreparedModel(tmp_path / "ours.onnx")
    heard = prepared.feeds(corpus(20_000, 8_000))
    assert (heard.recordings, heard.clips, heard.seconds) == (2, 4, 1.75)


def test_relative_lengths_are_shares_of_the_longest(tmp_path: Path, labels: Path) -> None:
    nodes: list[Node] = [
        node("Unsqueeze", ["wav_lens", "axis1"], ["column"]),
        node("Mul", ["audio", "column"], ["louder"]),
        *of_samples(audio="louder"),
    ]
    inputs: list[Port] = [("audio", FLOAT, ["batch", "samples"]), ("wav_lens", FLOAT, ["batch"])]
    source = save(tmp_path / "theirs.onnx", nodes, inputs, SAMPLES["plain"][2])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    session = Recognizer.load(tmp_path / "ours.onnx").session
    clip = noise(8_000)[None]
    feed = {"waveform": clip, "lengths": np.array([4_000])}
    found = session.run(["log_probs"], feed)[0]
    theirs = {"audio": clip, "wav_lens": np.array([0.5], np.float32)}
    expected = posteriors(plain_session(source).run(None, theirs)[0])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    interface = interface_in(read_info(tmp_path / "ours.onnx").extra)
    assert interface is not None
    assert interface.relative


def test_what_stays_unclear_is_said_with_the_option(tmp_path: Path, labels: Path) -> None:
    nodes = [*of_samples("one"), node("Neg", ["one"], ["two"])]
    axes = ["batch", "frames", len(LABELS)]
    outputs: list[Port] = [("one", FLOAT, axes), ("two", FLOAT, axes)]
    source = save(tmp_path / "theirs.onnx", nodes, SAMPLES["plain"][1], outputs)
    ours = tmp_path / "ours.onnx"
    with pytest.raises(ModelError, match=r"\(one, two\); say which with --output-name NAME"):
        adopt(source, ours, labels, "ctc")
    adopt(source, ours, labels, "ctc", output_name="two")
    interface = interface_in(read_info(ours).extra)
    assert interface is not None
    assert interface.output.name == "two"
    with pytest.raises(InputError, match="has no output 'three'; it has one float"):
        adopt(source, ours, labels, "ctc", output_name="three")
    features = save(tmp_path / "bands.onnx", *FEATURES["bands before frames"])
    with pytest.raises(ModelError, match=r"80 bands these are with --frontend nemo-80\|kaldi-80"):
        adopt(features, ours, labels, "ctc")
    with pytest.raises(ModelError, match="of 128 bands, as the front end that was named"):
        adopt(features, ours, labels, "ctc", frontend="nemo-128")


def test_what_is_no_tensor_stays_an_output(tmp_path: Path, labels: Path) -> None:
    nodes = [*of_samples(), node("SplitToSequence", ["logits"], ["clips"], axis=0, keepdims=1)]
    source = save(tmp_path / "theirs.onnx", nodes, *SAMPLES["plain"][1:])
    model = onnx.load(source)
    model.graph.output.append(onnx.helper.make_tensor_sequence_value_info("clips", FLOAT, None))
    onnx.save(model, source)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    small = tmp_path / "small.onnx"
    quantize_model(tmp_path / "ours.onnx", small, "dynamic-int8")
    assert declared(small) == declared(source)
    logits, clips = plain_session(small).run(None, {"audio": noise(8_000)[None]})
    np.testing.assert_array_equal(clips[0], logits)


def test_a_classifier_may_have_axes_of_one(tmp_path: Path) -> None:
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(f"w{n}" for n in range(len(LABELS))) + "\n")
    nodes = [
        *of_samples("frames"),
        node("ReduceMean", ["frames", "axis1"], ["mean"], keepdims=0),
        node("Unsqueeze", ["mean", "axis2"], ["once"]),
        node("Unsqueeze", ["once", "axis2"], ["logits"]),
    ]
    outputs: list[Port] = [("logits", FLOAT, ["batch", len(LABELS), 1, 1])]
    source = save(tmp_path / "theirs.onnx", nodes, SAMPLES["plain"][1], outputs)
    adopt(source, tmp_path / "ours.onnx", classes, "classification")
    clip = noise(8_000)[None]
    expected = posteriors(plain_session(source).run(None, {"audio": clip})[0][:, :, 0, 0])
    feed = {"waveform": clip, "lengths": np.array([8_000])}
    (found,) = plain_session(tmp_path / "ours.onnx").run(["log_probs"], feed)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("prefix", ["frontend.", "adopted."])
def test_names_may_begin_as_those_of_added_nodes_do(
    prefix: str, tmp_path: Path, labels: Path
) -> None:
    source = save(tmp_path / "theirs.onnx", *SAMPLES["plain"])
    model = onnx.load(source)
    inner = {"x", "conv", "relu", "hidden"}
    for each in model.graph.node:
        each.name = prefix + each.name
        each.input[:] = [prefix + name if name in inner else name for name in each.input]
        each.output[:] = [prefix + name if name in inner else name for name in each.output]
    for value, name in ((model.graph.input[0], "audio"), (model.graph.output[0], "logits")):
        value.name = f"{prefix}valid_{name}"
        for each in model.graph.node:
            each.input[:] = [value.name if n == name else n for n in each.input]
            each.output[:] = [value.name if n == name else n for n in each.output]
    onnx.save(model, source)
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    for file in (tmp_path / "ours.onnx", source):
        made = quantize_model(file, tmp_path / "small.onnx", "dynamic-int8")
        assert [row.name for row in made.layers] == [
            f"original.{prefix}conv",
            f"original.{prefix}logits",
        ]
        assert made.layers[-1].codec == "int8"
        assert declared(tmp_path / "small.onnx") == declared(source)
    feed = {f"{prefix}valid_audio": noise(8_000)[None]}
    expected, found = (
        plain_session(path).run(None, feed)[0] for path in (source, tmp_path / "small.onnx")
    )
    assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean()


def test_layers_that_nothing_reads_are_none(tmp_path: Path, labels: Path) -> None:
    nodes = [*of_samples(), node("MatMul", ["hidden", "head"], ["unread"])]
    source = save(tmp_path / "theirs.onnx", nodes, *SAMPLES["plain"][1:])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    made = quantize_model(tmp_path / "ours.onnx", tmp_path / "small.onnx", "dynamic-int8")
    assert [row.name for row in made.layers] == ["conv", "logits"]


def test_a_bias_may_be_a_constant_node_of_numbers(tmp_path: Path, labels: Path) -> None:
    nodes = of_samples()
    nodes[1].input.append("bias")
    nodes.insert(0, node("Constant", [], ["bias"], value_floats=[0.1] * 6))
    source = save(tmp_path / "theirs.onnx", nodes, *SAMPLES["plain"][1:])
    adopt(source, tmp_path / "ours.onnx", labels, "ctc")
    everything = QuantizeSettings("static", compute="static", codec=CodecChoice.parse("bitplane:4"))
    made = quantize_model(
        tmp_path / "ours.onnx", tmp_path / "small.onnx", everything, corpus(8_000)
    )
    assert {row.codec for row in made.layers} == {"bitplane"}


@pytest.mark.parametrize("keep", [None, False])
def test_the_size_of_a_file_with_either_interface_is_known(
    keep: bool | None, tmp_path: Path, labels: Path
) -> None:
    source = save(tmp_path / "theirs.onnx", *SAMPLES["lengths in and out"])
    ours, small, written = (tmp_path / name for name in ("ours.onnx", "q.onnx", "plan.json"))
    adopt(source, ours, labels, "ctc")
    made = quantkit.plan(ours, "1MB", method="uniform", keep_interface=keep, output=written)
    assert made.plan.keep_interface is keep
    # The plan says which one it is for.
    quantkit.quantize(ours, small, written, [noise(8_000)], sample_rate=RATE)
    assert small.stat().st_size == made.predicted_bytes
    names = [value.name for value in plain_session(small).get_inputs()]
    assert names == (["audio", "lens"] if keep is None else ["waveform", "lengths"])
    again = quantkit.resize_plan(ours, written, "1MB")
    assert again.predicted_bytes == made.predicted_bytes - len("uniform") + len("manual")

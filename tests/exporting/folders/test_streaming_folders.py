"""Published folders with caches are run chunk by chunk, as their programs run them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import quantkit
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.utterance import Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import read_info
from quantkit.runtime.streaming.settings import streaming_settings
from quantkit.sensitivity.model_divergence import model_divergence
from tests.exporting.folders.small_folders import (
    CHUNK,
    LETTERS,
    SHIFT,
    write_streaming_ctc,
    write_streaming_icefall,
    write_streaming_nemo,
    write_streaming_nemo_ctc,
)

REPOSITORY = Path(__file__).resolve().parents[3]
WRITERS: dict[str, Callable[[Path], Path]] = {
    "transducer": write_streaming_icefall,
    "transducer of one clip": lambda folder: write_streaming_icefall(folder, clips=1),
    "ctc": write_streaming_ctc,
    "ctc of one clip": lambda folder: write_streaming_ctc(folder, clips=1),
    "nemo ctc": write_streaming_nemo_ctc,
    "nemo transducer": write_streaming_nemo,
}


@pytest.fixture(scope="module")
def clip() -> Utterance:
    (found,) = open_corpus(REPOSITORY / "calibration_data").sample(1)
    return found


def padded_features(clip: Utterance) -> np.ndarray:
    """Those of the clip, and silence for as many chunks as 0.3 s behind it take."""
    features = KaldiFrontend()(load_waveform(clip, 16_000))
    runs = -(-(len(features) + 30) // SHIFT)
    silence = np.full((runs * SHIFT + CHUNK - len(features), 80), np.log(2.0**-23), np.float32)
    return np.concatenate((features, silence))[: (runs - 1) * SHIFT + CHUNK]


def chunk_by_chunk(path: Path, features: np.ndarray) -> list[np.ndarray]:
    """The first output of each run, as a program computes it that knows the caches' names."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {value.name: value for value in session.get_inputs()}
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    states = {
        name: np.zeros([s if isinstance(s, int) else 1 for s in value.shape], types[value.type])
        for name, value in inputs.items()
        if name != "x"
    }
    names = [value.name for value in session.get_outputs()]
    found = []
    for start in range(0, len(features) - CHUNK + 1, SHIFT):
        made = dict(
            zip(
                names,
                session.run(names, {"x": features[None, start : start + CHUNK], **states}),
                strict=True,
            )
        )
        states = {name: made[f"new_{name}"] for name in states}
        found.append(made[names[0]][0])
    return found


def test_a_ctc_model_says_what_its_graph_says(clip: Utterance, tmp_path: Path) -> None:
    folder = write_streaming_ctc(tmp_path / "x")
    (path,) = folder.glob("*.onnx")
    rows = np.concatenate(chunk_by_chunk(path, padded_features(clip)))
    said = [label for label, _ in groupby(rows.argmax(axis=1).tolist()) if label]
    expected = "".join(LETTERS[label - 1] for label in said).replace("▁", " ")
    assert quantkit.load(folder).transcribe(load_waveform(clip, 16_000), 16_000).text.split() == (
        expected.split()
    )


def test_a_transducer_hears_what_its_encoder_gives(clip: Utterance, tmp_path: Path) -> None:
    from quantkit.runtime.streaming.transducer import StreamingTransducer

    folder = write_streaming_icefall(tmp_path / "x")
    expected = np.concatenate(chunk_by_chunk(folder / "encoder.onnx", padded_features(clip)))
    model = StreamingTransducer.load(quantkit.export(folder, tmp_path / "x.onnx").path)
    (found,) = model.network.encode([model.features(clip)])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", WRITERS)
def test_a_stream_says_what_the_clip_says(name: str, clip: Utterance, tmp_path: Path) -> None:
    model = quantkit.load(WRITERS[name](tmp_path / "x"))
    samples = load_waveform(clip, 16_000)
    stream = model.stream()
    grown = [stream.accept(piece) for piece in np.array_split(samples, 23)]
    final = stream.finish()
    assert final == model.transcribe(samples, 16_000).text
    assert final.strip()
    assert all(final.startswith(text.rstrip()) for text in grown)


def test_how_it_hears_is_read_from_its_metadata(tmp_path: Path) -> None:
    info = read_info(quantkit.export(write_streaming_ctc(tmp_path / "x"), tmp_path / "x.onnx").path)
    settings = streaming_settings(info.extra)
    assert (settings.chunk, settings.shift, settings.look_ahead) == (CHUNK, SHIFT, CHUNK - SHIFT)
    assert not settings.ends
    assert info.task == "streaming-ctc"
    nemo = write_streaming_nemo_ctc(tmp_path / "y", normalize="per_feature")
    settings = streaming_settings(read_info(quantkit.export(nemo, tmp_path / "y.onnx").path).extra)
    assert settings.stride == 4
    assert settings.expected is not None


@pytest.mark.parametrize("name", WRITERS)
def test_it_is_calibrated_on_its_chunks(name: str, clip: Utterance, tmp_path: Path) -> None:
    """Each with the states that the float model has there."""
    from quantkit.audio.utterance import Corpus

    path = quantkit.export(WRITERS[name](tmp_path / "x"), tmp_path / "x.onnx").path
    info = read_info(path)
    feeds = CalibrationData(Corpus("one", (clip,)), info, path)
    chunks = np.concatenate([inputs["features"] for _, inputs in feeds])
    assert chunks.shape[1:] == (CHUNK, 80)
    caches = [key for key in dict([*feeds][-1][1]) if key.startswith("state.cache")]
    last = [*feeds][-1][1][caches[0]]
    assert np.abs(last).max() > 0.01
    assert feeds.recordings == 1
    assert feeds.seconds == pytest.approx(clip.seconds or 0.0, abs=1.2)
    assert model_divergence(path, path, feeds).mean < 1e-6


def test_a_cache_that_no_output_follows_is_refused(tmp_path: Path) -> None:
    folder = write_streaming_icefall(tmp_path / "x")
    model = onnx.load(folder / "encoder.onnx")
    (output,) = (value for value in model.graph.output if value.name == "new_cached_key_0")
    model.graph.output.remove(output)
    onnx.save(model, folder / "encoder.onnx")
    with pytest.raises(
        ModelError, match="takes cached_key_0 besides x, and gives no new_cached_key_0"
    ):
        quantkit.load(folder)


def test_a_cache_of_any_length_is_refused(tmp_path: Path) -> None:
    folder = write_streaming_icefall(tmp_path / "x")
    model = onnx.load(folder / "encoder.onnx")
    (cache,) = (value for value in model.graph.input if value.name == "cached_key_0")
    cache.type.tensor_type.shape.dim[0].dim_param = "L"
    onnx.save(model, folder / "encoder.onnx")
    with pytest.raises(ModelError, match="only the number of clips may be open"):
        quantkit.load(folder)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({}, "do not say how long a chunk is"),
        ({"T": "13"}, "do not say how long a chunk is"),
        ({"T": "8", "decode_chunk_len": "13"}, "are no chunks that follow one another"),
        ({"T": "13", "decode_chunk_len": "0"}, "are no chunks that follow one another"),
        ({"T": "many", "decode_chunk_len": "8"}, "are no chunks that follow one another"),
    ],
)
def test_chunks_that_are_not_described_are_refused(
    metadata: dict[str, str], reason: str, tmp_path: Path
) -> None:
    folder = write_streaming_icefall(tmp_path / "x")
    model = onnx.load(folder / "encoder.onnx")
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, folder / "encoder.onnx")
    with pytest.raises(ModelError, match=reason):
        quantkit.load(folder)


def test_labels_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = write_streaming_ctc(tmp_path / "x")
    with (folder / "tokens.txt").open("a", encoding="utf-8") as stream:
        stream.write("more 8\n")
    with pytest.raises(InputError, match="they are of different models"):
        quantkit.load(folder)

"""The front end as ONNX nodes gives the numbers of the NumPy one, clip by clip."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.audio.decode import read_audio
from quantkit.audio.frontend import Frontend
from quantkit.errors import ModelError
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.graph.info import ArtifactInfo, info_of, set_info
from quantkit.graph.layers import find_layers

DATA = Path(os.environ.get("QUANTKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def passthrough(bands: int = 40, opset: int = 18) -> onnx.ModelProto:
    """A model that hands its inputs out again."""
    shape: list[str | int | None] = ["batch", "frames", bands]
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["features"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "passthrough",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [
            helper.make_tensor_value_info("log_probs", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def session_of(frontend: Frontend) -> onnxruntime.InferenceSession:
    fused = fuse_frontend(passthrough(frontend.mel_bands), frontend)
    onnx.checker.check_model(fused, full_check=True)
    return onnxruntime.InferenceSession(
        fused.SerializeToString(), providers=["CPUExecutionProvider"]
    )


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    return session_of(Frontend())


def run(
    session: onnxruntime.InferenceSession, clips: Sequence[FloatArray]
) -> tuple[FloatArray, list[int]]:
    """Features and frame counts of a batch whose padding is not a number."""
    lengths = np.array([clip.size for clip in clips], np.int64)
    padded = np.full((len(clips), lengths.max()), np.nan, np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: clip.size] = clip
    features, frames = session.run(None, {"waveform": padded, "lengths": lengths})
    return features, frames.tolist()


def assert_agree(
    session: onnxruntime.InferenceSession, frontend: Frontend, clips: Sequence[FloatArray]
) -> None:
    features, frames = run(session, clips)
    for found, count, clip in zip(features, frames, clips, strict=True):
        expected = frontend(clip)
        assert count == len(expected)
        np.testing.assert_allclose(found[:count], expected, atol=1e-4)
        assert not found[count:].any()


def noise(samples: int, loudness: float = 0.1) -> FloatArray:
    generator = np.random.default_rng(samples)
    return (loudness * generator.standard_normal(samples)).astype(np.float32)


def hum(samples: int) -> FloatArray:
    return (0.9 * np.sin(2 * np.pi * 60 * np.arange(samples) / 16_000)).astype(np.float32)


@pytest.mark.parametrize(
    "make",
    [
        noise,
        hum,
        lambda n: noise(n, 1e-4),
        lambda n: np.zeros(n, np.float32),
        lambda n: np.ones(n, np.float32),
        lambda n: np.eye(1, n, n // 2, dtype=np.float32)[0],
        lambda n: np.clip(noise(n, 50.0), -1, 1),
    ],
    ids=["noise", "mains hum", "whisper", "silence", "constant", "click", "clipped"],
)
@pytest.mark.parametrize("samples", [400, 401, 559, 560, 16_000])
def test_agrees_with_numpy(
    session: onnxruntime.InferenceSession, make: Callable[[int], FloatArray], samples: int
) -> None:
    assert_agree(session, Frontend(), [make(samples)])


def test_agrees_with_numpy_in_batches_of_mixed_length(
    session: onnxruntime.InferenceSession,
) -> None:
    clips = [noise(16_000), hum(9_001), noise(400), np.zeros(5_000, np.float32), noise(30_000)]
    assert_agree(session, Frontend(), clips)


@pytest.mark.parametrize(
    "frontend",
    [
        Frontend(sample_rate=8_000, window=200, hop=80, fft_size=256, high_hz=3_800.0),
        Frontend(window=401, hop=160, mel_bands=23),
        Frontend(window=399, hop=133, fft_size=400, low_hz=0.0, variance_floor=1e-5),
    ],
    ids=["8 kHz", "odd window", "odd window, fft no power of two"],
)
def test_agrees_with_numpy_for_other_settings(frontend: Frontend) -> None:
    assert_agree(session_of(frontend), frontend, [noise(4_000), hum(3_001)])


@pytest.mark.parametrize("samples", [1, 239, 240, 399])
def test_a_clip_shorter_than_a_window_has_no_frames(
    session: onnxruntime.InferenceSession, samples: int
) -> None:
    features, frames = run(session, [noise(samples)])
    assert frames == [0]
    assert not features.any()
    features, frames = run(session, [noise(samples), noise(1_000)])
    assert frames == [0, 4]
    assert not features[0].any()


def test_real_speech_agrees(session: onnxruntime.InferenceSession) -> None:
    found = [sorted((DATA / name).rglob("*.flac")) for name in ("librispeech", "digits")]
    files = [file for files in found for file in files[:: max(1, len(files) // 4)][:4]]
    if not files:
        pytest.skip("no real speech: set QUANTKIT_DATA to a folder with librispeech/ and digits/")
    # The digits were recorded at 8 kHz, so these are also the clips with nothing above 4 kHz.
    assert_agree(session, Frontend(), [read_audio(file, 16_000) for file in files])


def test_it_costs_ten_kilobytes_and_no_matrix() -> None:
    fused = fuse_frontend(passthrough(), Frontend())
    assert len(fused.SerializeToString()) < 10_000
    assert max(len(tensor.raw_data) for tensor in fused.graph.initializer) <= 64


def test_its_products_are_no_layers_to_quantize() -> None:
    assert find_layers(fuse_frontend(passthrough(), Frontend())) == []


def test_metadata_says_fused_and_the_source_is_unchanged() -> None:
    model = passthrough()
    set_info(model, ArtifactInfo(frontend=Frontend(), task="ctc"))
    before = model.SerializeToString()
    info = info_of(fuse_frontend(model, Frontend()))
    assert (info.fused, info.frontend, info.task) == (True, Frontend(), "ctc")
    assert model.SerializeToString() == before


def test_a_model_that_hears_clips_one_by_one_takes_no_lengths() -> None:
    model = passthrough()
    del model.graph.input[1], model.graph.output[1], model.graph.node[1]
    fused = fuse_frontend(model, Frontend())
    assert [value.name for value in fused.graph.input] == ["waveform"]
    alone = onnxruntime.InferenceSession(
        fused.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    clip = np.random.default_rng(0).normal(0, 0.1, 12_345).astype(np.float32)
    (features,) = alone.run(None, {"waveform": clip[None]})
    np.testing.assert_allclose(features[0], Frontend()(clip), atol=1e-4)


def test_what_cannot_be_fused_is_said() -> None:
    fused = fuse_frontend(passthrough(), Frontend())
    with pytest.raises(ModelError, match="it needs `features`"):
        fuse_frontend(fused, Frontend())
    with pytest.raises(ModelError, match="takes 40 bands, the front end has 80"):
        fuse_frontend(passthrough(), Frontend(mel_bands=80))
    with pytest.raises(ModelError, match="opset 13 is too old"):
        fuse_frontend(passthrough(opset=13), Frontend())

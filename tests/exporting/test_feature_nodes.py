"""The front ends of NeMo, Kaldi and Whisper as ONNX nodes give the numbers of their NumPy forms."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from quantkit.audio.frontends import FRONTENDS, AnyFrontend, frontend_named
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.exporting.frontend_graph import can_fuse, fuse_frontend
from tests.audio.signals import signals

# NumPy and nodes compute in double; what is left is the rounding of the result.
TOLERANCE = 1e-4


def session_of(frontend: AnyFrontend, opset: int = 18) -> onnxruntime.InferenceSession:
    """A model that hands its features out again, behind the front end."""
    shape: list[str | int] = ["batch", "frames", getattr(frontend, "mel_bands", 0)]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["features"], ["log_probs"]),
            helper.make_node("Identity", ["lengths"], ["output_lengths"]),
        ],
        "passthrough",
        [info("features", TensorProto.FLOAT, shape), info("lengths", TensorProto.INT64, ["batch"])],
        [
            info("log_probs", TensorProto.FLOAT, shape),
            info("output_lengths", TensorProto.INT64, ["batch"]),
        ],
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    fused = fuse_frontend(model, frontend)
    onnx.checker.check_model(fused, full_check=True)
    return onnxruntime.InferenceSession(
        fused.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def assert_agree(
    session: onnxruntime.InferenceSession, frontend: AnyFrontend, clips: list[np.ndarray]
) -> None:
    """In one batch, whose padding is not a number."""
    lengths = np.array([clip.size for clip in clips])
    padded = np.full((len(clips), lengths.max()), np.nan, np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: clip.size] = clip
    features, frames = session.run(None, {"waveform": padded, "lengths": lengths})
    for found, count, clip in zip(features, frames, clips, strict=True):
        expected = frontend(clip)
        # What Whisper is told beyond the clip is silence up to its window.
        expected = expected[: max(frontend.frames_of(clip.size), _window(frontend))]
        assert count == len(expected)
        np.testing.assert_allclose(found[:count], expected, atol=TOLERANCE)


def _window(frontend: AnyFrontend) -> int:
    return int(getattr(frontend, "window_frames", 0))


@pytest.fixture(scope="module", params=[n for n in FRONTENDS if can_fuse(frontend_named(n))])
def named(request: pytest.FixtureRequest) -> tuple[onnxruntime.InferenceSession, AnyFrontend]:
    frontend = frontend_named(request.param)
    return session_of(frontend), frontend


@pytest.mark.slow
@pytest.mark.parametrize("name", signals())
def test_agrees_with_numpy(
    named: tuple[onnxruntime.InferenceSession, AnyFrontend], name: str
) -> None:
    assert_agree(*named, [signals()[name]])


@pytest.mark.slow
def test_agrees_with_numpy_on_silence_and_clicks(
    named: tuple[onnxruntime.InferenceSession, AnyFrontend],
) -> None:
    click = np.eye(1, 8_000, 4_000, dtype=np.float32)[0]
    for clip in (np.zeros(8_000, np.float32), np.ones(8_000, np.float32), click):
        assert_agree(*named, [clip])


@pytest.mark.slow
def test_agrees_with_numpy_in_batches_of_mixed_length(
    named: tuple[onnxruntime.InferenceSession, AnyFrontend],
) -> None:
    assert_agree(*named, list(signals().values()))


@pytest.mark.parametrize("opset", [15, 17])
@pytest.mark.parametrize("name", ["nemo-80", "kaldi-80"])
def test_older_operator_sets_do(opset: int, name: str) -> None:
    frontend = frontend_named(name)
    assert_agree(session_of(frontend, opset), frontend, [signals()["chirp"]])


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
@pytest.mark.parametrize("name", ["nemo-80", "kaldi-80-int16"])
def test_other_rates_do(rate: int, name: str) -> None:
    frontend = frontend_named(name, rate)
    assert_agree(session_of(frontend), frontend, [signals(rate)["chirp"]])


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_that_of_transducers_in_sherpa_does(rate: int) -> None:
    frontend = SherpaNemoFrontend.for_rate(rate, 80, transducer=True)
    assert_agree(session_of(frontend), frontend, [*signals(rate).values()])


def test_the_tables_take_no_room() -> None:
    frontend = frontend_named("nemo-128")
    shape: list[str | int] = ["batch", "frames", 128]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["features"], ["y"])],
        "passthrough",
        [
            helper.make_tensor_value_info("features", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["batch"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert fuse_frontend(model, frontend).ByteSize() - model.ByteSize() < 16_000

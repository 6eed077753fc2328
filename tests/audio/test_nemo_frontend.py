"""The spectrogram is NeMo's, which its port in transformers and onnx-asr compute, too."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_named
from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.errors import AudioError
from tests.audio.signals import RATE, assert_same_features, signals

SIGNALS = signals()


@pytest.mark.slow
@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("name", SIGNALS)
def test_it_equals_that_of_transformers(bands: int, name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="it is compared with transformers'")
    pytest.importorskip("torch")
    theirs = transformers.ParakeetFeatureExtractor(feature_size=bands)
    made = theirs(SIGNALS[name], sampling_rate=RATE, return_tensors="np")
    frames = int(made["attention_mask"].sum())
    found = frontend_named(f"nemo-{bands}")(SIGNALS[name])
    assert found.shape == (frames, bands) == (len(SIGNALS[name]) // 160, bands)
    assert_same_features(found, made["input_features"][0, :frames])


@pytest.mark.slow
@pytest.mark.parametrize("bands", [80, 128])
def test_it_equals_that_of_onnx_asr(bands: int) -> None:
    import onnxruntime

    preprocessors = pytest.importorskip("onnx_asr.preprocessors")
    model = files(preprocessors) / "data" / f"nemo{bands}.onnx"
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    for clip in SIGNALS.values():
        feed = {"waveforms": clip[None], "waveforms_lens": np.array([len(clip)])}
        expected, lengths = session.run(None, feed)
        found = frontend_named(f"nemo-{bands}")(clip)
        assert_same_features(found.T, expected[0][:, : lengths[0]])


def test_silence_is_next_to_zero() -> None:
    found = NemoFrontend()(np.zeros(RATE, np.float32))
    assert np.abs(found).max() < 1e-6


def test_what_is_no_clip_is_refused() -> None:
    for clip in (np.zeros(399, np.float32), np.full(500, np.nan, np.float32)):
        with pytest.raises(AudioError):
            NemoFrontend()(clip)

"""The spectrogram is Whisper's own, to the last digits that single precision has."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import frontend_from_json
from quantkit.audio.mel import slaney_filters
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import AudioError

RATE = 16_000


def chirp(seconds: float) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2e3 * time * time) + 0.01 * noise).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.03, 3.3, 30.0])
def test_it_equals_that_of_transformers(bands: int, seconds: float) -> None:
    transformers = pytest.importorskip("transformers", reason="it is compared with transformers'")
    theirs = transformers.WhisperFeatureExtractor(feature_size=bands)
    waveform = chirp(seconds)
    expected = theirs(waveform, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    ours = WhisperFrontend(mel_bands=bands)
    found = ours(waveform)
    assert found.shape == (ours.frames_of(len(waveform)) + 3_000, bands)
    # At the end of a full window theirs mirrors the clip, which the published code does not.
    np.testing.assert_allclose(found[:2_999].T, expected[:, :2_999], atol=1e-4)


def test_a_clip_beyond_a_window_has_a_whole_window_wherever_one_begins() -> None:
    frontend = WhisperFrontend()
    features = frontend(chirp(41.0))
    assert len(features) == 4_100 + frontend.window_frames
    # Behind the last frame that hears something, there is silence.
    assert len(np.unique(features[4_103:])) == 1


def test_filters_have_equal_area() -> None:
    filters = slaney_filters(80, 400, RATE)
    assert filters.shape == (80, 201)
    assert filters.sum(axis=1)[-20:] * RATE / 400 == pytest.approx(np.ones(20), rel=0.05)


@pytest.mark.parametrize("waveform", [np.zeros(399, np.float32), np.full(500, np.nan, np.float32)])
def test_too_short_and_not_finite(waveform: np.ndarray) -> None:
    with pytest.raises(AudioError):
        WhisperFrontend()(waveform)


@pytest.mark.parametrize("frontend", [WhisperFrontend(mel_bands=128), WaveformFrontend(8_000, 320)])
def test_the_stored_form_names_its_kind(frontend: WhisperFrontend | WaveformFrontend) -> None:
    assert frontend_from_json(frontend.to_json()) == frontend

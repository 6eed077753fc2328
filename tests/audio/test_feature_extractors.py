"""Front ends of models from transformers equal the feature extractors of these."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.audio.frontends import AnyFrontend, frontend_from_json
from quantkit.audio.lasr_frontend import LasrFrontend
from quantkit.audio.seamless_frontend import SeamlessFrontend
from quantkit.errors import AudioError
from tests.audio.signals import RATE, assert_same_features, chirp, signals

SIGNALS = {name: clip for name, clip in signals().items() if len(clip) > 4_000}
FRONTENDS: list[tuple[str, AnyFrontend]] = [
    ("SeamlessM4TFeatureExtractor", SeamlessFrontend()),
    ("LasrFeatureExtractor", LasrFrontend()),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(("theirs", "ours"), FRONTENDS)
def test_it_equals_that_of_transformers(theirs: str, ours: AnyFrontend, name: str) -> None:
    transformers = pytest.importorskip("transformers", reason="it is compared with transformers'")
    pytest.importorskip("torch")
    extractor = getattr(transformers, theirs)()
    made = extractor(
        SIGNALS[name], sampling_rate=RATE, return_tensors="np", return_attention_mask=True
    )
    frames = int(made["attention_mask"].sum())
    found = ours(SIGNALS[name])
    assert len(found) == frames == ours.frames_of(len(SIGNALS[name]))
    assert_same_features(found, made["input_features"][0, :frames])


@pytest.mark.slow
@pytest.mark.parametrize("samples", [880, 1_039, 1_040, 1_200, 4_001])
def test_what_is_left_over_of_two_frames_is_no_frame(samples: int) -> None:
    transformers = pytest.importorskip("transformers", reason="it is compared with transformers'")
    pytest.importorskip("torch")
    clip = chirp(1.0)[:samples]
    made = transformers.SeamlessM4TFeatureExtractor()(clip, sampling_rate=RATE, return_tensors="np")
    frames = int(made["attention_mask"].sum())
    found = SeamlessFrontend()(clip)
    assert len(found) == frames
    assert_same_features(found, made["input_features"][0, :frames])


@pytest.mark.parametrize("ours", [frontend for _, frontend in FRONTENDS])
class TestFrontend:
    def test_its_settings_are_kept(self, ours: AnyFrontend) -> None:
        assert frontend_from_json(ours.to_json()) == ours

    def test_a_clip_of_one_window_is_the_shortest(self, ours: AnyFrontend) -> None:
        clip = chirp(1.0)[: ours.window]
        assert len(ours(clip)) == ours.frames_of(ours.window) >= 2
        with pytest.raises(AudioError, match="shorter than one window"):
            ours(clip[:-1])

    def test_frames_last_as_long_as_the_clip(self, ours: AnyFrontend) -> None:
        assert ours.seconds_of(ours.frames_of(RATE * 10)) == pytest.approx(10.0, abs=0.05)

    def test_silence_is_finite(self, ours: AnyFrontend) -> None:
        assert np.isfinite(ours(np.zeros(RATE, np.float32))).all()

"""Where somebody speaks."""

from __future__ import annotations

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.errors import MissingDependencyError
from quantkit.runtime.voice_activity import SAMPLE_RATE, VoiceActivity, stretches_of

CLIPS = Path(__file__).parents[2] / "calibration_data"

needs_detector = pytest.mark.skipif(
    importlib.util.find_spec("silero_vad") is None, reason="needs silero-vad"
)


@pytest.fixture
def clip() -> FloatArray:
    """Some seconds of speech."""
    return load_waveform(next(iter(open_corpus(CLIPS))), SAMPLE_RATE)


def ends(speech: list[float], longest: float = 100.0) -> list[tuple[float, float]]:
    """Of the stretches in steps of half a second each."""
    found = stretches_of(speech, 0.5 * len(speech), longest, 0.5)
    return [(each.start, each.end) for each in found]


class TestStretches:
    def test_a_margin_is_left_around_speech(self) -> None:
        assert ends([0, 0, 0.9, 0.9, 0, 0]) == [(0.8, 2.2)]

    def test_none_reach_beyond_the_recording(self) -> None:
        assert ends([0.9, 0.9]) == [(0.0, 1.0)]

    def test_what_began_goes_on_while_it_is_not_improbable(self) -> None:
        assert ends([0, 0.6, 0.4, 0.4, 0.3, 0]) == [(0.3, 2.2)]
        assert ends([0, 0.4, 0.4, 0]) == []

    def test_a_short_pause_is_a_part_of_speech(self) -> None:
        speech = [0.9] * 10 + [0.1] * 10 + [0.9] * 10
        assert len(stretches_of(speech, 1.0, 100.0, 0.03)) == 1
        assert len(stretches_of(speech, 3.0, 100.0, 0.1)) == 2

    def test_a_click_is_no_speech(self) -> None:
        assert stretches_of([0, 0, 0.9, 0, 0], 0.5, 100.0, 0.1) == []

    def test_long_speech_is_cut_where_it_is_least_likely(self) -> None:
        speech = [0.9] * 7 + [0.5] + [0.9] * 8
        assert ends(speech, longest=5.0) == [(0.0, 3.5), (3.5, 8.0)]

    @given(st.lists(st.floats(0, 1), max_size=200), st.floats(1.0, 20.0))
    def test_they_are_in_order_apart_and_not_too_long(
        self, speech: list[float], longest: float
    ) -> None:
        found = stretches_of(speech, 0.5 * len(speech), longest, 0.5)
        assert all(one.end <= two.start for one, two in itertools.pairwise(found))
        assert all(0 <= each.start < each.end <= 0.5 * len(speech) for each in found)
        assert all(each.end - each.start <= longest + 0.5 for each in found)


@needs_detector
class TestDetector:
    def test_silence_and_noise_are_no_speech(self) -> None:
        voice = VoiceActivity.load()
        noise = 0.01 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE)
        for quiet in (np.zeros(SAMPLE_RATE), noise):
            assert voice.stretches([quiet.astype(np.float32)]) == []

    def test_blocks_of_any_length_are_one_recording(self, clip: FloatArray) -> None:
        voice = VoiceActivity.load()
        whole = voice.stretches([clip])
        assert whole
        assert voice.stretches(np.array_split(clip, 37)) == whole

    def test_pauses_between_clips_are_found(self, clip: FloatArray) -> None:
        pause = np.zeros(3 * SAMPLE_RATE, np.float32)
        found = VoiceActivity.load().stretches([pause, clip, pause, clip, pause])
        seconds = len(clip) / SAMPLE_RATE
        inside = [(3, 3 + seconds), (6 + seconds, 6 + 2 * seconds)]
        assert len(found) >= 2
        for each in found:
            middle = (each.start + each.end) / 2
            assert any(begin <= middle <= end for begin, end in inside)

    def test_no_recording_has_no_speech(self) -> None:
        assert VoiceActivity.load().stretches([]) == []


def test_without_the_package_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'quantkit\[vad\]'"):
        VoiceActivity.load()

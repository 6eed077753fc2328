"""Pitch of sounds that have one, and of sounds that have none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.voices import HIGH, LOW, RATE, by_voice, pitch_of, pitches
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus, Utterance

LIBRISPEECH = Path(__file__).parents[3] / "shared" / "data" / "librispeech"


def hum(hertz: float, seconds: float = 0.5) -> np.ndarray:
    """A voice of ten harmonics that fall by 6 dB an octave."""
    time = np.arange(round(seconds * RATE)) / RATE
    parts = [np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 11)]
    return np.asarray(0.1 * np.sum(parts, axis=0), np.float32)


@pytest.mark.parametrize("hertz", [85.0, 120.0, 160.0, 220.0, 310.0])
def test_a_hum_has_its_pitch(hertz: float) -> None:
    assert np.median(pitches(hum(hertz))) == pytest.approx(hertz, rel=0.02)


def test_noise_and_silence_and_a_click_have_none() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    assert pitches(noise).size < 5
    assert pitches(np.zeros(RATE, np.float32)).size == 0
    assert pitches(np.ones(10, np.float32)).size == 0


def test_speakers_are_told_apart_and_doubtful_ones_left_out() -> None:
    clips = {"bass": 100.0, "treble": 230.0, "between": 165.0}
    corpus = Corpus(
        "hums",
        tuple(
            Utterance(None, speaker=who, name=who, waveform=hum(hertz), sample_rate=RATE)
            for who, hertz in clips.items()
        ),
    )
    found = by_voice(corpus)
    assert [u.speaker for u in found["low"]] == ["bass"]
    assert [u.speaker for u in found["high"]] == ["treble"]


@pytest.mark.skipif(not LIBRISPEECH.exists(), reason="needs ../shared/data/librispeech")
@pytest.mark.slow
def test_no_woman_of_librispeech_is_low_and_no_man_high() -> None:
    corpus = open_corpus(LIBRISPEECH)
    for speaker in corpus.values("speaker"):
        clips = corpus.select(speaker=speaker)
        pitch = pitch_of(clips.sample(3, 0))
        assert not (pitch < LOW and clips.utterances[0].gender == "f")
        assert not (pitch > HIGH and clips.utterances[0].gender == "m")

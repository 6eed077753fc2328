"""The study of a trained transducer: its clips, and its section."""

from __future__ import annotations

import numpy as np

from benchmarks.transducer import NOISE_DB, RATE, Row, report, sequences
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.sensitivity.estimate import Estimate

SECONDS = 0.3


def takes() -> Corpus:
    random = np.random.default_rng(0)
    samples = random.uniform(-0.5, 0.5, round(SECONDS * RATE)).astype(np.float32)
    return Corpus(
        "takes",
        tuple(
            Utterance(
                None,
                text=word,
                speaker=speaker,
                name=f"{word} of {speaker}",
                waveform=samples,
                sample_rate=RATE,
                seconds=SECONDS,
            )
            for speaker in ("ann", "ben")
            for word in ("one", "two", "three")
        ),
    )


def test_a_clip_is_three_to_seven_takes_of_one_speaker_with_pauses() -> None:
    clips = sequences(takes(), 6, 0)
    assert [clip.speaker for clip in clips] == ["ann", "ben"] * 3
    for clip in clips:
        words = (clip.text or "").split()
        assert 3 <= len(words) <= 7
        assert clip.seconds > SECONDS * len(words) + 0.1 * (len(words) + 1)


def test_noise_changes_the_samples_and_not_the_words() -> None:
    clean, noisy = (sequences(takes(), 2, 1, level) for level in (None, NOISE_DB))
    for one, other in zip(clean, noisy, strict=True):
        assert one.text == other.text
        assert one.waveform is not None
        assert other.waveform is not None
        noise = other.waveform - one.waveform
        ratio = 10 * np.log10(np.square(one.waveform).mean() / np.square(noise).mean())
        assert abs(ratio - NOISE_DB) < 0.5


def test_the_section_has_a_line_for_each_folder() -> None:
    interval = (0.0, 0.02)
    row = Row("mine", 2.0, ((0.01, interval), (0.03, interval)), Estimate(0.001), (1.3, 1.2, 1.25))
    section = report([row], 8, 40, "a TDT of digits", "A transducer")
    assert "| mine | 2.00 | 1.0 % [0.0, 2.0] | 3.0 % [0.0, 2.0] | 0.0010 | 1.30× |" in section
    assert section.startswith("## A transducer\n")
    assert "--heard 8 --tested 40`: a TDT of digits." in section

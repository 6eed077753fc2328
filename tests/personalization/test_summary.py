"""What a run comes down to, and what to know before trusting it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.personalization.summary import agreement, audio_warnings


@pytest.mark.parametrize(("divergence", "share"), [(0.0, 1.0), (0.6931, 0.5), (-1e-9, 1.0)])
def test_agreement_is_the_share_of_probability_that_is_found_again(divergence, share) -> None:
    assert agreement(divergence) == pytest.approx(share, abs=1e-4)


def test_enough_audio_needs_no_words() -> None:
    assert audio_warnings(32, 127.0) == ()
    assert audio_warnings(32, 0.0) == ()  # of unknown length


@pytest.mark.parametrize(
    ("clips", "seconds", "words"),
    [
        (1, 300.0, "Only 1 clip: the speech in use may differ from them."),
        (9, 300.0, "Only 9 clips:"),
        (40, 12.0, "Only 12 seconds of audio in 40 clips"),
    ],
)
def test_little_audio_is_said(clips, seconds, words) -> None:
    (warning,) = audio_warnings(clips, seconds)
    assert warning.startswith(words)


def test_clips_that_were_left_out_are_said() -> None:
    (one,) = audio_warnings(32, 127.0, ("a.wav: silent",))
    assert one == "Left out 1 clip: a.wav: silent."
    (three,) = audio_warnings(32, 127.0, ("a.wav: silent", "b.wav", "c.wav"))
    assert three == "Left out 3 clips: a.wav: silent; b.wav; c.wav."


def test_languages_that_the_model_does_not_know_are_said() -> None:
    (warning,) = audio_warnings(32, 127.0, unknown_languages=("gsw", "xx"))
    assert warning == (
        "The model does not know the language gsw, xx: that of these clips was guessed."
    )


def test_programs_can_read_it(summary) -> None:
    written = json.loads(json.dumps(replace(summary, destination=Path("u.onnx")).to_json()))
    assert written["destination"] == "u.onnx"
    assert written["steps"][0] == {"name": "listen", "seconds": 3.0}
    assert summary.to_json()["destination"] is None
    assert summary.total_seconds == 4.0

"""What a run comes down to, and what to know before trusting it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.personalization.summary import audio_warnings
from quantkit.text.changes import Changed, TextChanges, TextPair


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


def test_clips_in_which_float32_hears_nothing_are_said() -> None:
    (one,) = audio_warnings(32, 127.0, silent=("a.wav",))
    assert one == "The float32 model hears nothing in a.wav."
    (three,) = audio_warnings(32, 127.0, silent=("a.wav", "b.wav", "c.wav"))
    assert three == "The float32 model hears nothing in a.wav and in 2 more."


def test_what_changed_in_the_text_leads(summary) -> None:
    counts = (Changed("words", 3, 20, (0.05, 0.3)), Changed("characters", 4, 100))
    pair = TextPair("a.wav", "the cat sat", "the bat sat")
    changed = replace(summary, changes=TextChanges(counts, 16, (pair,)))
    lead, example = changed.changed_in_words()
    assert lead.startswith("against float32 on ")
    assert "15.0 % of words changed [5.0, 30.0], 4.0 % of characters changed (4 of 100)" in lead
    assert example == 'a.wav: "the cat sat" → "the bat sat"'
    assert list(changed.to_json()).index("changes") < list(changed.to_json()).index(
        "measured_divergence"
    )
    assert changed.to_json()["changes"]["counts"][0]["share"] == pytest.approx(0.15)
    assert summary.changed_in_words() == ()


def test_programs_can_read_it(summary) -> None:
    written = json.loads(json.dumps(replace(summary, destination=Path("u.onnx")).to_json()))
    assert written["destination"] == "u.onnx"
    assert written["steps"][0] == {"name": "listen", "seconds": 3.0}
    assert summary.to_json()["destination"] is None
    assert summary.total_seconds == 4.0

"""Sentences become recordings, and each form has a line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the study exports models")

from benchmarks.whisper import Form
from benchmarks.whisper_long import PAUSE, PER_SPEAKER, recordings, report
from quantkit.audio.utterance import Corpus, Utterance


def test_recordings_are_of_one_speaker_and_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.whisper_long.SECONDS", 2.5)
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones(16_000), 16_000)
    said = [(speaker, f"{speaker}{i}") for i in range(9) for speaker in ("ann", "bob")]
    clips = tuple(Utterance(tmp_path / "a.wav", text, speaker=name) for name, text in said)
    found = list(recordings(Corpus("two", clips)))
    assert [each.text for each in found[:2]] == ["ann0 ann1", "bob0 bob1"]
    assert len(found) == 2 * PER_SPEAKER
    assert {len(each.waveform) for each in found} == {round(2 * (1 + PAUSE) * 16_000)}


def test_each_form_is_held_against_the_first() -> None:
    plain = Form("float", 10_000_000, [10, 0], [100, 100], seconds=0.0)
    small = Form("small", 2_500_000, [12, 0], [100, 100], seconds=0.0)
    text = report([plain, small], 2, 240.0)
    assert "2 recordings of 120 s" in text
    line = next(line for line in text.splitlines() if line.startswith("| small"))
    assert "| 2.5 | 6.0 [0.0, 12.0] | +1.0 [" in line

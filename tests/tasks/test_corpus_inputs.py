"""Feeds of models of one graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError
from quantkit.graph.info import ArtifactInfo

RATE = 16_000
FEATURES = ArtifactInfo(frontend=Frontend(), task="ctc")
SAMPLES = ArtifactInfo(frontend=WaveformFrontend(), task="ctc", fused=True)


def clip(path: Path, seconds: float) -> Utterance:
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE))
    soundfile.write(path, noise, RATE)
    return Utterance(path, name=path.name)


@pytest.mark.parametrize("info", [FEATURES, SAMPLES])
def test_a_long_clip_comes_in_pieces_and_counts_once(tmp_path: Path, info: ArtifactInfo) -> None:
    clips = (clip(tmp_path / "long.wav", 100), clip(tmp_path / "short.wav", 2))
    data = CalibrationData(Corpus("test", clips), info)
    rate = RATE if info.fused else 100
    lengths = {name: int(inputs["lengths"][0]) for name, inputs in data}
    assert [*lengths] == [
        "long.wav",
        "long.wav from 30 s on",
        "long.wav from 60 s on",
        "short.wav",
    ]
    assert max(lengths.values()) <= 40 * rate
    assert data.recordings == 2
    assert data.seconds == pytest.approx(102, abs=0.2)


@pytest.mark.parametrize("info", [FEATURES, SAMPLES])
def test_clips_that_cannot_be_used_are_left_out(tmp_path: Path, info: ArtifactInfo) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    clips = (Utterance(bad), clip(tmp_path / "blip.wav", 0.01), clip(tmp_path / "good.wav", 1))
    data = CalibrationData(Corpus("test", clips, ("x: is empty",)), info)
    assert [name for name, _ in data] == ["good.wav"]
    assert len(data.left_out) == 3
    assert data.left_out[0] == "x: is empty"
    assert "bad.wav is not audio" in data.left_out[1]
    assert "blip.wav: " in data.left_out[2]


@pytest.mark.parametrize("info", [FEATURES, SAMPLES])
def test_nothing_left_is_an_error(tmp_path: Path, info: ArtifactInfo) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    with pytest.raises(CorpusError, match=r"none of 1 clips is usable; the first: .*not audio"):
        list(CalibrationData(Corpus("test", (Utterance(bad),)), info))

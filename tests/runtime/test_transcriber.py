"""Files in, transcripts with their durations out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.errors import AudioError
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.speech_model import Output
from quantkit.runtime.transcriber import transcribe


class FrameCounter(Recognizer):
    def text_of(self, output: Output) -> str:
        return f"{len(output)} frames"


def test_each_file_is_decoded_at_the_models_rate(artifact: Path, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(8_000)
    soundfile.write(tmp_path / "slow.wav", noise, 8_000)
    soundfile.write(tmp_path / "fast.wav", noise, 16_000)
    files = [tmp_path / "slow.wav", tmp_path / "fast.wav"]
    slow, fast = transcribe(FrameCounter.load(artifact), files)
    assert (slow.path, slow.seconds, slow.text) == (files[0], 1.0, "98 frames")
    assert (fast.path, fast.seconds, fast.text) == (files[1], 0.5, "48 frames")
    assert slow.compute_seconds > 0


def test_a_file_too_short_is_named(artifact: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "blip.wav", np.zeros(10), 16_000)
    with pytest.raises(AudioError, match=r"blip\.wav: 10 samples are shorter"):
        list(transcribe(FrameCounter.load(artifact), [tmp_path / "blip.wav"]))

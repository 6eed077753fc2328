"""A recording that is cut off, too loud, or cancels itself out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import audio_seconds, read_audio
from quantkit.errors import AudioError

TONE = (0.5 * np.sin(np.arange(8_000) / 5)).astype(np.float32)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_without_a_transcript_what_is_there_is_heard(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"clip.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 64_000)
    soundfile.write(path, noise, 16_000)
    whole = read_audio(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    left = read_audio(path, complete=False)
    assert 0.2 * whole.size < left.size < 0.65 * whole.size
    np.testing.assert_array_equal(left[:10_000], whole[:10_000])
    assert f"clip.{suffix} is " in caplog.text
    assert f"{left.size / 16_000:.2f}" in caplog.text
    assert audio_seconds(path, complete=False) > 0
    with pytest.raises(AudioError, match=rf"clip\.{suffix} is (cut off|damaged)"):
        read_audio(path)


@pytest.mark.parametrize("largest", [30_000.0, 3e38])
def test_floats_that_were_not_divided(tmp_path: Path, largest: float) -> None:
    path = tmp_path / "clip.wav"
    samples = TONE.copy()
    samples[100] = largest
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"clip\.wav holds samples up to 3.*divided by 32768"):
        read_audio(path)


def test_channels_that_cancel_each_other_out_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wave = TONE
    for name, second in (("turned", -wave), ("equal", wave), ("silent", 0 * wave)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.stack([wave, second], axis=1), 16_000)
        read_audio(path)
    assert "turned.wav: its channels cancel each other out" in caplog.text
    assert "equal.wav" not in caplog.text
    assert "silent.wav" not in caplog.text

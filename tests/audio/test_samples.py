"""Samples in memory give the waveform that the same samples in a file give, or a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import read_audio
from quantkit.audio.samples import mono_waveform, require_length, require_rate, resampled
from quantkit.errors import AudioError, InputError

RATE = 16_000
FORMATS = {
    "int16": ("PCM_16", 32_767),
    "int32": ("PCM_32", 2**31 - 1),
    "float32": ("FLOAT", 1.0),
    "float64": ("DOUBLE", 1.0),
}


def noise(kind: str, channels: int, samples: int = 2_000) -> Any:
    values = np.random.default_rng(0).uniform(-0.7, 0.7, (samples, channels))
    return (values * FORMATS[kind][1]).astype(kind)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_an_array_is_heard_as_the_file_of_its_samples_is(
    kind: str, channels: int, tmp_path: Path
) -> None:
    samples = noise(kind, channels)
    path = tmp_path / "clip.wav"
    soundfile.write(path, samples, RATE, subtype=FORMATS[kind][0])
    decoded = read_audio(path, RATE)
    assert np.array_equal(mono_waveform(samples), decoded)
    assert np.array_equal(mono_waveform(np.ascontiguousarray(samples.T)), decoded)
    if channels == 1:
        assert np.array_equal(mono_waveform(samples[:, 0]), decoded)


def test_another_order_of_bytes_is_the_same_sound() -> None:
    samples = noise("int16", 1)
    assert np.array_equal(mono_waveform(samples.astype(">i2")), mono_waveform(samples))


def test_a_rate_is_changed_as_that_of_a_file_is(tmp_path: Path) -> None:
    samples = noise("int16", 1)[:, 0]
    soundfile.write(tmp_path / "clip.wav", samples, 44_100)
    heard = resampled(mono_waveform(samples), 44_100, RATE)
    assert np.array_equal(heard, read_audio(tmp_path / "clip.wav", RATE))


def test_a_float32_clip_is_not_copied() -> None:
    samples = noise("float32", 1)[:, 0]
    assert mono_waveform(samples) is samples


def test_floats_may_exceed_full_scale_as_those_of_files_may() -> None:
    assert mono_waveform(np.array([1.5, -2.0], np.float32)).tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(100, np.uint8), r"type uint8 .* \(x.astype\('float32'\) - 128\) / 128"),
        (np.zeros(100, np.int8), "type int8 are ambiguous; give float32 or float64"),
        (np.zeros(100, np.int64), "type int64 are ambiguous"),
        (np.zeros(100, bool), "type bool are ambiguous"),
        (np.zeros(100, complex), "type complex128 are ambiguous"),
        (np.array(["clip.wav"] * 9), "type <U8 are ambiguous"),
        (np.full(100, 3_000.0), r"go up to 3000, and floats are to be in \[-1, 1\]; divide"),
        (np.array([0.1, np.nan, 0.2]), "not finite"),
        (np.array([0.1, -np.inf]), "not finite"),
        (np.full(9, np.nan), "not finite"),
        (np.zeros(0, np.float32), "holds no samples"),
        (np.zeros((0, 2), np.float32), "holds no samples"),
        (np.float32(0.5), r"shape \(\) is no clip"),
        (np.zeros((2, 3, 400)), r"shape \(2, 3, 400\) is no clip"),
        (np.zeros((20, 4_000)), r"shape \(20, 4000\) is no recording of up to 8 channels"),
        (np.zeros((2, 2)), r"shape \(2, 2\) is no recording"),
    ],
)
def test_what_could_be_heard_in_two_ways_is_refused(samples: Any, message: str) -> None:
    with pytest.raises(AudioError, match=f"clip 3.*{message}"):
        mono_waveform(samples, "clip 3")


@pytest.mark.parametrize("rate", [16_000, 16_000.0, np.int64(16_000), np.float32(16_000)])
def test_a_rate_is_a_whole_number_of_hertz(rate: float) -> None:
    assert require_rate(rate) == 16_000


@pytest.mark.parametrize("rate", [0, -16_000, 16, 16_000.5, 10**9, float("nan"), True, "16000"])
def test_a_rate_that_no_recording_has_is_refused(rate: Any) -> None:
    with pytest.raises(InputError, match="is no whole number of hertz"):
        require_rate(rate)


def test_an_array_needs_a_rate() -> None:
    with pytest.raises(InputError, match="an array does not say its sample rate: give it in hertz"):
        require_rate(None)


def test_an_array_is_no_longer_than_a_file_may_be() -> None:
    hour = np.zeros(3_600_000, np.float32)
    require_length(hour, 1_000, "clip 1")
    with pytest.raises(AudioError, match="clip 1 lasts 3604 s; the limit is 3600 s"):
        require_length(hour, 999, "clip 1")

"""WAV files as recorders and programs really leave them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import audio_seconds, read_audio
from quantkit.errors import AudioError

RATE = 16_000
NOISE = 0.3 * np.random.default_rng(0).uniform(-1.0, 1.0, 2 * RATE).astype(np.float32)


def wav(path: Path, samples: np.ndarray = NOISE, **options: str) -> bytearray:
    soundfile.write(path, samples, RATE, format="WAV", **options)
    return bytearray(path.read_bytes())


def size_of_samples(content: bytearray, size: int) -> bytearray:
    """The same file, with another size in the header of its data chunk."""
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    return content


def heard(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    waveform = read_audio(path)
    assert audio_seconds(path) == pytest.approx(len(waveform) / RATE)
    return waveform


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clip.wav"


@pytest.fixture
def whole(path: Path) -> np.ndarray:
    wav(path)
    return read_audio(path)


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_F000])
def test_a_recorder_that_was_stopped_wrote_no_size(
    path: Path, whole: np.ndarray, size: int
) -> None:
    content = size_of_samples(wav(path), size)
    struct.pack_into("<I", content, 4, 0)
    np.testing.assert_array_equal(heard(path, content), whole)


def test_a_header_of_nothing_is_empty(path: Path) -> None:
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    path.write_bytes(wav(path, NOISE[:0]) + note)
    with pytest.raises(AudioError, match=r"clip\.wav holds no samples"):
        read_audio(path)


@pytest.mark.parametrize("more", [1, 8, 36, 44])
def test_a_few_bytes_too_few_are_heard_with_a_warning(
    path: Path, whole: np.ndarray, more: int, caplog: pytest.LogCaptureFixture
) -> None:
    content = size_of_samples(wav(path), 2 * len(NOISE) + more)
    np.testing.assert_array_equal(heard(path, content), whole)
    assert f"promises {more} bytes more than there are" in caplog.text


def test_bytes_that_are_no_sound_are_not_heard(
    path: Path, whole: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    content = wav(path) + b"\xfe\xed\xfa\xce" * 3
    np.testing.assert_array_equal(heard(path, content), whole)
    assert "12 bytes behind its samples are no sound" in caplog.text


@pytest.mark.parametrize("odd_padding", [True, False])
def test_chunks_behind_the_samples_are_passed_over(path: Path, odd_padding: bool) -> None:
    samples = NOISE[:999]
    content = wav(path, samples, subtype="PCM_U8")
    body = content[: content.index(b"data") + 8 + 999]
    note = b"LIST" + struct.pack("<I", 4) + b"INFO"
    assert heard(path, body + b"\0" * odd_padding + note).size == 999


def test_wavs_that_were_joined_are_all_heard(path: Path, whole: np.ndarray) -> None:
    content = wav(path)
    expected = np.concatenate([whole, whole, whole])
    np.testing.assert_array_equal(heard(path, bytes(content) * 3), expected)


def test_a_stopped_recording_with_another_behind_it(path: Path, whole: np.ndarray) -> None:
    content = size_of_samples(wav(path), 0) + wav(path)
    np.testing.assert_array_equal(heard(path, content), np.concatenate([whole, whole]))


def test_a_stopped_recording_with_a_note_at_the_head_of_the_next(
    path: Path, whole: np.ndarray
) -> None:
    following = wav(path)
    note = b"bext" + struct.pack("<I", 12) + b"RIFF of what"
    content = size_of_samples(wav(path), 0xFFFF_FFFF) + following[:12] + note + following[12:]
    np.testing.assert_array_equal(heard(path, content), np.concatenate([whole, whole]))


def test_joined_wavs_of_different_rates_are_each_resampled(path: Path) -> None:
    first = wav(path)
    soundfile.write(path, NOISE, 8_000)
    assert heard(path, bytes(first) + path.read_bytes()).size == 2 * RATE + 4 * RATE


def test_something_in_front_of_the_wav_is_passed_over(path: Path, whole: np.ndarray) -> None:
    tag = b"ID3\x03\0\0\0\0\0\x05hello"
    np.testing.assert_array_equal(heard(path, tag + wav(path)), whole)


@pytest.mark.parametrize("kind", [b"RF64", b"BW64"])
@pytest.mark.parametrize("known", [True, False])
def test_wavs_of_more_than_four_gigabytes_have_their_size_elsewhere(
    path: Path, whole: np.ndarray, kind: bytes, known: bool
) -> None:
    content = wav(path)
    form = content[content.index(b"fmt ") : content.index(b"fmt ") + 24]
    samples = content[content.index(b"data") + 8 :]
    sizes = (4 + 36 + 24 + 8 + len(samples), len(samples), len(NOISE)) if known else (0, 0, 0)
    long = b"ds64" + struct.pack("<IQQQI", 28, *sizes, 0)
    unknown = struct.pack("<I", 0xFFFF_FFFF)
    rebuilt = kind + unknown + b"WAVE" + long + form + b"data" + unknown + samples
    np.testing.assert_array_equal(heard(path, rebuilt), whole)


@pytest.mark.parametrize("left", [12, 20, 27, 35])
def test_one_of_more_than_four_gigabytes_that_ends_in_its_sizes(path: Path, left: int) -> None:
    soundfile.write(path, NOISE, RATE, format="RF64")
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(AudioError, match=r"clip\.wav"):
        read_audio(path)


@pytest.mark.parametrize(
    "subtype",
    [
        "PCM_U8",
        "PCM_16",
        "PCM_24",
        "PCM_32",
        "FLOAT",
        "DOUBLE",
        "ALAW",
        "ULAW",
        "IMA_ADPCM",
        "MS_ADPCM",
        "GSM610",
    ],
)
@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
def test_every_codec_is_heard_also_where_the_size_is_not_known(
    path: Path, subtype: str, stopped: bool, container: str
) -> None:
    if not soundfile.check_format(container, subtype):
        pytest.skip(f"libsndfile does not write {subtype} in {container}")
    tone = np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE) / 2
    soundfile.write(path, tone, RATE, format=container, subtype=subtype)
    content = bytearray(path.read_bytes())
    waveform = heard(path, size_of_samples(content, 0) if stopped else content)
    inside = slice(RATE // 2, RATE)
    assert np.corrcoef(waveform[inside], tone[inside])[0, 1] > 0.99
    # Codecs of blocks fill their last one.
    assert 0 <= waveform.size - 2 * RATE < 2_048


def test_sixty_four_bits(path: Path) -> None:
    numbers = (NOISE[:1_000].astype(np.float64) * 2.0**63).astype("<i8")
    form = struct.pack("<HHIIHH", 1, 1, RATE, 8 * RATE, 8, 64)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form
    body += b"data" + struct.pack("<I", 8_000) + numbers.tobytes()
    content = b"RIFF" + struct.pack("<I", len(body)) + body
    np.testing.assert_allclose(heard(path, content), NOISE[:1_000], atol=1e-7)


def test_six_channels_are_averaged(path: Path) -> None:
    six = np.stack([NOISE[:1_000] * gain for gain in (1, 0, 1, 0, 1, 0)], axis=1)
    content = wav(path, six, subtype="FLOAT")
    np.testing.assert_allclose(heard(path, content), NOISE[:1_000] / 2, atol=1e-6)


@pytest.mark.parametrize("rate", [0, 10, 10_000_000])
def test_absurd_rates_are_refused(path: Path, rate: int) -> None:
    content = wav(path)
    struct.pack_into("<I", content, content.index(b"fmt ") + 12, rate)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"clip\.wav (states a sample rate of|is not audio)"):
        read_audio(path)


def test_a_codec_that_nobody_knows_is_named(path: Path) -> None:
    content = wav(path)
    struct.pack_into("<H", content, content.index(b"fmt ") + 8, 0xBEEF)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"clip\.wav is (not )?WAV with codec 0xbeef"):
        read_audio(path)


def test_the_format_may_follow_the_samples(path: Path, whole: np.ndarray) -> None:
    content = bytes(wav(path))
    at, form = content.index(b"data"), content[12:36]
    np.testing.assert_array_equal(heard(path, content[:12] + content[at:] + form), whole)


def test_an_odd_chunk_in_front_without_the_byte_behind_it(path: Path, whole: np.ndarray) -> None:
    content = bytes(wav(path))
    at = content.index(b"data")
    note = b"LIST" + struct.pack("<I", 5) + b"INFO!"
    np.testing.assert_array_equal(heard(path, content[:at] + note + content[at:]), whole)
    np.testing.assert_array_equal(heard(path, content[:12] + note + content[12:]), whole)


@pytest.mark.parametrize("front", [b"", b"x" * 9])
def test_sizes_that_are_cut_off(path: Path, front: bytes) -> None:
    path.write_bytes(front + b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0" + bytes(10))
    with pytest.raises(AudioError, match=r"clip\.wav"):
        read_audio(path)

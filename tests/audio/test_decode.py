"""Reading clips: every format, rate and channel count; and saying what is wrong with the rest."""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.decode import audio_seconds, read_audio
from quantkit.errors import AudioError

FORMATS = [
    ("clip.wav", "WAV", "PCM_16", 1e-4),
    ("clip.wav", "WAV", "PCM_24", 1e-6),
    ("clip.wav", "WAV", "PCM_U8", 2e-2),
    ("clip.wav", "WAV", "FLOAT", 1e-7),
    ("clip.flac", "FLAC", "PCM_16", 1e-4),
    ("clip.ogg", "OGG", "VORBIS", 0.1),
    ("clip.opus", "OGG", "OPUS", 0.1),
    ("clip.mp3", "MP3", "MPEG_LAYER_III", 0.1),
]


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def error_of(waveform: np.ndarray, expected: np.ndarray) -> float:
    """Relative root-mean-square error away from the ends, where filters ring."""
    inner = slice(len(expected) // 10, -len(expected) // 10)
    difference = waveform[: len(expected)][inner] - expected[inner]
    return float(np.sqrt((difference**2).mean() / (expected[inner] ** 2).mean()))


@pytest.mark.parametrize(("name", "container", "subtype", "tolerance"), FORMATS)
def test_every_format_gives_the_waveform(
    tmp_path: Path, name: str, container: str, subtype: str, tolerance: float
) -> None:
    if subtype not in soundfile.available_subtypes(container):
        pytest.skip(f"this libsndfile does not write {container}/{subtype}")
    path = tmp_path / name
    soundfile.write(path, tone(1.0, 16_000), 16_000, format=container, subtype=subtype)

    waveform = read_audio(path)

    assert waveform.dtype == np.float32
    assert waveform.shape == (16_000,)
    assert waveform.flags.c_contiguous
    assert error_of(waveform, tone(1.0, 16_000)) < tolerance
    assert audio_seconds(path) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_rate_is_resampled_and_channels_are_mixed(
    tmp_path: Path, rate: int, channels: int
) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.repeat(tone(1.0, rate)[:, None], channels, axis=1), rate)

    waveform = read_audio(path)

    assert abs(waveform.size - 16_000) <= 1
    assert error_of(np.append(waveform, 0.0), tone(1.0, 16_000)) < 1e-3
    assert audio_seconds(path) == pytest.approx(1.0)


def test_channels_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    left, right = tone(0.5, 16_000, 300.0), tone(0.5, 16_000, 700.0)
    soundfile.write(path, np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path), (left + right) / 2, atol=1e-6)


def test_what_lies_above_the_new_band_is_removed_and_not_folded_down(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(1.0, 48_000, 11_000.0), 48_000, subtype="FLOAT")
    assert np.abs(read_audio(path)[1_000:-1_000]).max() < 1e-4


def test_the_result_rate_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, tone(1.0, 16_000), 16_000)
    assert read_audio(path, sample_rate=8_000).shape == (8_000,)


def test_clips_longer_than_a_block_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    expected = tone(150.0, 8_000, 0.05)
    soundfile.write(path, np.repeat(expected[:, None], 2, axis=1), 8_000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(path, sample_rate=8_000), expected, atol=1e-6)


class TestBadClips:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match=r"cannot read .*absent\.wav: No such file"):
            read_audio(tmp_path / "absent.wav")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(AudioError, match="is a folder"):
            read_audio(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.wav")
        with pytest.raises(AudioError, match="pipe or device"):
            read_audio(tmp_path / "pipe.wav")

    def test_empty(self, tmp_path: Path) -> None:
        (tmp_path / "clip.wav").touch()
        with pytest.raises(AudioError, match=r"clip\.wav is empty"):
            read_audio(tmp_path / "clip.wav")

    @pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "raw"])
    def test_not_audio(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"clip.{suffix}"
        path.write_text("this is a text, not a sound\n" * 100)
        with pytest.raises(AudioError, match="is not audio that can be read") as caught:
            read_audio(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(("name", "container", "subtype", "tolerance"), FORMATS)
    def test_a_header_and_nothing_else(
        self, tmp_path: Path, name: str, container: str, subtype: str, tolerance: float
    ) -> None:
        path = tmp_path / name
        soundfile.write(path, np.zeros(0), 16_000, format=container, subtype=subtype)
        with pytest.raises(AudioError, match=name):
            read_audio(path)
        with pytest.raises(AudioError, match=name):
            audio_seconds(path)

    def test_a_flac_that_is_cut_off(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.flac"
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000)
        soundfile.write(path, noise, 16_000)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(AudioError, match=r"clip\.flac is (cut off|damaged)"):
            read_audio(path)

    @pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
    def test_a_wav_that_is_cut_off(self, tmp_path: Path, endian: str) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(1.0, 16_000), 16_000, endian=endian)
        intact = path.read_bytes()
        for kept in (len(intact) - 4_000, len(intact) // 2, 50):
            path.write_bytes(intact[:kept])
            for read in (read_audio, audio_seconds):
                with pytest.raises(AudioError, match=r"clip\.wav is cut off: .* of 1\.00 s"):
                    read(path)

    @pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
    def test_a_wav_from_a_pipe_states_no_length_and_is_read(
        self, tmp_path: Path, size: int
    ) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(1.0, 16_000), 16_000)
        content = bytearray(path.read_bytes())
        struct.pack_into("<I", content, content.index(b"data") + 4, size)
        path.write_bytes(content)
        assert read_audio(path).size == 16_000

    def test_chunks_before_and_after_the_samples_are_no_loss(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(1.0, 16_000), 16_000)
        content = path.read_bytes()
        at = content.index(b"data")
        # An odd chunk is followed by a padding byte that its size does not count.
        note = b"note" + struct.pack("<I", 3) + b"abc\0"
        path.write_bytes(content[:at] + note + content[at:] + note)
        assert read_audio(path).size == 16_000

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, tmp_path: Path, value: float) -> None:
        path = tmp_path / "clip.wav"
        samples = tone(0.5, 16_000)
        samples[100] = value
        soundfile.write(path, samples, 16_000, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"clip\.wav holds samples that are not finite"):
            read_audio(path)

    def test_too_long(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.wav"
        soundfile.write(path, tone(2.0, 8_000), 8_000)
        with pytest.raises(AudioError, match=r"clip\.wav lasts 2 s or more; the limit is 1 s"):
            read_audio(path, max_seconds=1.0)
        with pytest.raises(AudioError, match="the limit is 1 s"):
            audio_seconds(path, max_seconds=1.0)

    def test_a_header_that_claims_hours_costs_no_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "clip.flac"
        soundfile.write(path, tone(0.5, 16_000), 16_000)
        content = bytearray(path.read_bytes())
        # STREAMINFO: the low 36 bits of the eight bytes at offset 18 count the samples.
        (packed,) = struct.unpack_from(">Q", content, 18)
        struct.pack_into(">Q", content, 18, packed | (1 << 36) - 1)
        path.write_bytes(content)
        with pytest.raises(AudioError, match="the limit is 3600 s"):
            read_audio(path)
        with pytest.raises(AudioError, match=r"cut off|damaged"):
            read_audio(path, max_seconds=1e9)

    @pytest.mark.parametrize("name", ["clip.mp3", "clip.wav"])
    def test_a_damaged_mp3_is_an_error_line_and_no_noise_of_the_decoder(
        self, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        if "MPEG_LAYER_III" not in soundfile.available_subtypes("MP3"):
            pytest.skip("this libsndfile does not write MP3")
        path = tmp_path / name
        soundfile.write(path, tone(1.0, 16_000), 16_000, format="MP3", subtype="MPEG_LAYER_III")
        intact = path.read_bytes()
        for seed in range(10):
            path.write_bytes(intact[:400] + np.random.default_rng(seed).bytes(len(intact) - 400))
            with contextlib.suppress(AudioError):
                read_audio(path, max_seconds=60.0)
        print("still here", file=sys.stderr)
        assert capfd.readouterr().err == "still here\n"

    def test_random_bytes_after_a_valid_start_never_escape_as_another_error(
        self, tmp_path: Path
    ) -> None:
        random = np.random.default_rng(1)
        for name, container, subtype, _ in FORMATS:
            path = tmp_path / name
            soundfile.write(path, tone(0.5, 16_000), 16_000, format=container, subtype=subtype)
            intact = path.read_bytes()
            for _ in range(20):
                start = int(random.integers(0, len(intact)))
                path.write_bytes(intact[:start] + random.bytes(len(intact) - start))
                with contextlib.suppress(AudioError):
                    assert np.isfinite(read_audio(path, max_seconds=60.0)).all()

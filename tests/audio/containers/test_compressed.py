"""FLAC, Ogg and MP3: joined, of unknown length, between tags; CAF and AU without a length."""

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
ID3V2 = b"ID3\x03\0\0\0\0\0\x14" + b"cover of many bytes."
ID3V1 = b"TAG" + b"title".ljust(125, b"\0")
APEV2 = b"APETAGEX" + struct.pack("<IIII", 2_000, 32, 0, 0) + bytes(8)


def encoded(tmp_path: Path, suffix: str, samples: np.ndarray = NOISE, **options: str) -> bytes:
    path = tmp_path / f"made.{suffix}"
    soundfile.write(path, samples, RATE, **options)
    return path.read_bytes()


def heard(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    waveform = read_audio(path)
    assert audio_seconds(path) == pytest.approx(len(waveform) / RATE)
    return waveform


@pytest.mark.parametrize("suffix", ["flac", "ogg", "opus", "mp3"])
def test_files_that_were_joined_are_all_heard(tmp_path: Path, suffix: str) -> None:
    options = {"format": "OGG", "subtype": "OPUS"} if suffix == "opus" else {}
    content = encoded(tmp_path, suffix, **options)
    one = heard(tmp_path / f"one.{suffix}", content)
    three = heard(tmp_path / f"three.{suffix}", content * 3)
    np.testing.assert_array_equal(three, np.concatenate([one, one, one]))


@pytest.mark.parametrize("suffix", ["flac", "mp3"])
def test_tags_on_both_sides_are_no_sound(tmp_path: Path, suffix: str) -> None:
    content = encoded(tmp_path, suffix)
    one = heard(tmp_path / f"one.{suffix}", content)
    for tags in (ID3V1, APEV2 + ID3V1):
        tagged = heard(tmp_path / f"tagged.{suffix}", ID3V2 + content + tags)
        np.testing.assert_array_equal(tagged, one)


def test_an_empty_tag_in_front_is_no_sound(tmp_path: Path) -> None:
    content = encoded(tmp_path, "mp3")
    tag = b"ID3\x02" + bytes(6)
    np.testing.assert_array_equal(
        heard(tmp_path / "tagged.mp3", tag + content), heard(tmp_path / "one.mp3", content)
    )


def test_the_ending_of_a_name_means_nothing(tmp_path: Path) -> None:
    content = encoded(tmp_path, "mp3")
    np.testing.assert_array_equal(
        heard(tmp_path / "one.WAV", content), heard(tmp_path / "one.mp3", content)
    )


def test_a_flac_that_was_written_into_a_pipe(tmp_path: Path) -> None:
    content = bytearray(encoded(tmp_path, "flac"))
    whole = heard(tmp_path / "whole.flac", content)
    # STREAMINFO: the low 36 bits of the eight bytes at offset 18 count the samples.
    (packed,) = struct.unpack_from(">Q", content, 18)
    struct.pack_into(">Q", content, 18, packed & ~((1 << 36) - 1))
    np.testing.assert_array_equal(heard(tmp_path / "pipe.flac", content), whole)
    twice = heard(tmp_path / "twice.flac", bytes(content) * 2)
    np.testing.assert_array_equal(twice, np.concatenate([whole, whole]))


class TestMp3WithoutACount:
    """What follows the first frame, which holds the count."""

    @staticmethod
    def uncounted(tmp_path: Path, **options: float | str) -> bytes:
        # Silence takes the fewest bits: a guess from its frames is far too long or too short.
        samples = np.concatenate([np.zeros(RATE, np.float32), NOISE])
        content = encoded(tmp_path, "mp3", samples, **options)  # type: ignore[arg-type]
        first = content.index(b"Xing") if b"Xing" in content else content.index(b"Info")
        start = content.rindex(b"\xff", 0, first - 3)
        following = content.index(content[start : start + 2], first)
        return content[following:]

    @pytest.mark.slow
    @pytest.mark.parametrize("mode", ["VARIABLE", "CONSTANT"])
    def test_all_frames_are_heard(self, tmp_path: Path, mode: str) -> None:
        content = self.uncounted(tmp_path, bitrate_mode=mode, compression_level=0.3)
        waveform = heard(tmp_path / "clip.mp3", content)
        # Without the header nobody says how much of the first and last frame is padding.
        assert 0 <= waveform.size - 3 * RATE < 3 * 1_152

    def test_and_those_of_the_next_file(self, tmp_path: Path) -> None:
        content = self.uncounted(tmp_path, bitrate_mode="VARIABLE")
        one = heard(tmp_path / "one.mp3", content).size
        counted = encoded(tmp_path, "mp3")
        assert heard(tmp_path / "two.mp3", content + counted).size == one + 2 * RATE
        assert heard(tmp_path / "three.mp3", counted + content).size == one + 2 * RATE

    def test_inside_a_wav(self, tmp_path: Path) -> None:
        content = self.uncounted(tmp_path)
        form = struct.pack("<HHIIHHH", 0x55, 1, RATE, 4_000, 1, 0, 0)
        body = b"WAVEfmt " + struct.pack("<I", 18) + form
        body += b"data" + struct.pack("<I", len(content)) + content
        wav = b"RIFF" + struct.pack("<I", len(body)) + body
        one = heard(tmp_path / "one.mp3", content)
        np.testing.assert_array_equal(heard(tmp_path / "clip.wav", wav), one)


def test_an_mp3_that_is_cut_off_is_an_error(tmp_path: Path) -> None:
    content = encoded(tmp_path, "mp3")
    (tmp_path / "clip.mp3").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match=r"clip\.mp3 is cut off"):
        read_audio(tmp_path / "clip.mp3")


def test_the_sound_of_a_video_in_ogg(tmp_path: Path) -> None:
    """Pages of pictures between those of the sound."""
    content = encoded(tmp_path, "ogg")
    starts = [i for i in range(len(content)) if content.startswith(b"OggS", i)]
    pages = [content[a:b] for a, b in zip(starts, [*starts[1:], len(content)], strict=True)]
    picture = bytearray(b"OggS\0\0" + bytes(8) + b"\x2a\0\0\0" + bytes(8) + b"\x01\x08" + bytes(8))
    picture[5] = 2
    first = bytes(picture[:-8]) + b"\x80theora "
    picture[5] = 0
    mixed = first + b"".join(page + bytes(picture) for page in pages)
    np.testing.assert_array_equal(
        heard(tmp_path / "film.ogv", mixed), heard(tmp_path / "sound.ogg", content)
    )


def test_a_caf_and_an_au_whose_recorders_were_stopped(tmp_path: Path) -> None:
    for suffix, unknown, at in (("caf", b"\xff" * 8, None), ("au", bytes(4), 8)):
        content = bytearray(encoded(tmp_path, suffix, subtype="PCM_16"))
        place = content.index(b"data") + 4 if at is None else at
        content[place : place + len(unknown)] = unknown
        waveform = heard(tmp_path / f"stopped.{suffix}", content)
        np.testing.assert_allclose(waveform, NOISE, atol=1e-4)


@pytest.mark.parametrize("suffix", ["aiff", "w64", "caf", "au"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ALAW", "ULAW"])
def test_other_containers(tmp_path: Path, suffix: str, subtype: str) -> None:
    waveform = heard(tmp_path / f"clip.{suffix}", encoded(tmp_path, suffix, subtype=subtype))
    np.testing.assert_allclose(waveform, NOISE, atol=0.02)


def test_gsm_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "call.gsm"
    soundfile.write(path, NOISE[:8_000], 8_000, format="RAW", subtype="GSM610")
    assert read_audio(path).size == 16_000


def test_a_recording_that_ends_in_another_format_is_heard_up_to_there(tmp_path: Path) -> None:
    ogg = encoded(tmp_path, "ogg")
    one = heard(tmp_path / "one.ogg", ogg)
    np.testing.assert_array_equal(heard(tmp_path / "two.ogg", ogg + b"\0" * 5_000), one)


def test_an_aiff_whose_recorder_was_stopped(tmp_path: Path) -> None:
    content = bytearray(encoded(tmp_path, "aiff", subtype="PCM_16"))
    # Sizes of the file and of the samples, and the number of frames.
    for place in (4, content.index(b"SSND") + 4, content.index(b"COMM") + 10):
        content[place : place + 4] = bytes(4)
    np.testing.assert_allclose(heard(tmp_path / "stopped.aiff", content), NOISE, atol=1e-4)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
@pytest.mark.parametrize("front", [b"\0" * 3_000, b"HTTP/1.1 200 OK\r\n\r\n", b"\xff\xfb" * 50])
def test_bytes_in_front_are_no_sound(
    tmp_path: Path, suffix: str, front: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    content = encoded(tmp_path, suffix)
    one = heard(tmp_path / f"one.{suffix}", content)
    np.testing.assert_array_equal(heard(tmp_path / f"odd.{suffix}", front + content), one)
    assert f"{len(front)} bytes in front of its sound are none" in caplog.text


@pytest.mark.parametrize("behind", [b"\0" * 5_000, b"x" * 777])
@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_bytes_behind_are_no_sound(tmp_path: Path, suffix: str, behind: bytes) -> None:
    content = encoded(tmp_path, suffix)
    one = heard(tmp_path / f"one.{suffix}", content)
    np.testing.assert_array_equal(heard(tmp_path / f"odd.{suffix}", content + behind), one)


def test_a_flac_that_counts_too_few_samples(tmp_path: Path) -> None:
    content = bytearray(encoded(tmp_path, "flac"))
    whole = heard(tmp_path / "whole.flac", content)
    (packed,) = struct.unpack_from(">Q", content, 18)
    struct.pack_into(">Q", content, 18, packed - RATE)
    (tmp_path / "clip.flac").write_bytes(content)
    np.testing.assert_array_equal(read_audio(tmp_path / "clip.flac"), whole)


@pytest.mark.parametrize("is_counted", [True, False])
def test_an_mp3_with_other_bytes_between_its_frames(tmp_path: Path, is_counted: bool) -> None:
    content = encoded(tmp_path, "mp3")
    if not is_counted:
        content = TestMp3WithoutACount.uncounted(tmp_path)
    whole = heard(tmp_path / "whole.mp3", content)
    half = len(content) // 2
    (tmp_path / "odd.mp3").write_bytes(content[:half] + b"zz" * 300 + content[half:])
    left = read_audio(tmp_path / "odd.mp3")
    # The frame that is torn is lost.
    assert whole.size - 2 * 1_152 <= left.size <= whole.size
    end = slice(-RATE // 2, -RATE // 4)
    assert (
        max(np.corrcoef(left[end], np.roll(whole, -shift)[end])[0, 1] for shift in (0, 576)) > 0.9
    )


def test_an_ogg_without_a_mark_of_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = encoded(tmp_path, "ogg")
    heard(tmp_path / "whole.ogg", content)
    assert "mark of its end" not in caplog.text
    left = heard(tmp_path / "clip.ogg", content[: content.rindex(b"OggS")])
    assert left.size > RATE
    assert "clip.ogg: it has no mark of its end, and may be cut off" in caplog.text
    (tmp_path / "cut.ogg").write_bytes(content[:-30])
    with pytest.raises(AudioError, match=r"cut\.ogg is cut off: its first"):
        read_audio(tmp_path / "cut.ogg")


@pytest.mark.parametrize("count", [0, 5, 40, 50_000])
def test_an_mp3_whose_header_counts_wrongly(tmp_path: Path, count: int) -> None:
    content = bytearray(encoded(tmp_path, "mp3", bitrate_mode="CONSTANT"))
    at = content.index(b"Info") if b"Info" in content else content.index(b"Xing")
    struct.pack_into(">I", content, at + 8, count)
    waveform = heard(tmp_path / "clip.mp3", content)
    assert 0 <= waveform.size - 2 * RATE < 4 * 1_152


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_a_file_of_another_kind_behind_it_is_told(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, other = encoded(tmp_path, suffix), encoded(tmp_path, "wav")
    whole = heard(tmp_path / f"one.{suffix}", content)
    assert "behind its sound" not in caplog.text
    np.testing.assert_array_equal(heard(tmp_path / f"two.{suffix}", content + other), whole)
    assert f"{len(other)} bytes behind its sound are none" in caplog.text

"""M4A, WebM and the sound of videos; and what is said where their library is missing."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import audio_seconds, read_audio
from quantkit.errors import AudioError

RATE = 48_000
TONE = (np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE) / 2).astype(np.float32)

FORMATS = [
    ("phone.m4a", "ipod", "aac"),
    ("film.mp4", "mp4", "aac"),
    ("stream.aac", "adts", "aac"),
    ("sheet.wma", "asf", "wmav2"),
    ("page.webm", "webm", "libopus"),
    ("box.mka", "matroska", "flac"),
    ("apple.m4a", "ipod", "alac"),
    ("apple.caf", "caf", "alac"),
    ("film.avi", "avi", "mp3"),
    ("broadcast.ts", "mpegts", "aac"),
    ("disc.ac3", "ac3", "ac3"),
    ("pack.wv", "wv", "wavpack"),
    ("flac.ogg", "ogg", "flac"),
    ("call.amr", "amr", "libopencore_amrnb"),
    ("call.3gp", "3gp", "libopencore_amrnb"),
]


def write(path: Path, container: str, codec: str) -> Path:
    av = pytest.importorskip("av")
    rate = 8_000 if "amr" in codec else RATE
    try:
        with av.open(str(path), "w", format=container) as file:
            track = file.add_stream(codec, rate=rate, layout="mono")
            track.bit_rate = 12_200 if rate < RATE else 96_000
            frame = av.AudioFrame.from_ndarray(TONE[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            converter = av.AudioResampler(
                format=track.format, layout="mono", rate=rate, frame_size=track.frame_size or 1_024
            )
            for piece in (*converter.resample(frame), *converter.resample(None)):
                file.mux(track.encode(piece))
            file.mux(track.encode(None))
    except (av.FFmpegError, ValueError) as error:
        pytest.skip(f"this FFmpeg does not write {codec} in {container}: {error}")
    return path


@pytest.mark.parametrize(("name", "container", "codec"), FORMATS)
def test_heard_as_a_player_hears_it(tmp_path: Path, name: str, container: str, codec: str) -> None:
    path = write(tmp_path / name, container, codec)
    waveform = read_audio(path)
    assert audio_seconds(path) == pytest.approx(2.0, abs=0.2)
    assert waveform.size == pytest.approx(32_000, abs=2_400)
    spectrum = np.abs(np.fft.rfft(waveform[4_000:20_000]))
    assert spectrum.argmax() == 440
    assert np.abs(waveform[4_000:20_000]).max() == pytest.approx(0.5, abs=0.1)


def test_the_content_decides(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "clip.wav", TONE, RATE)
    content = (tmp_path / "clip.wav").read_bytes()
    (tmp_path / "phone.m4a").write_bytes(content)
    waveform = read_audio(tmp_path / "phone.m4a")
    np.testing.assert_array_equal(waveform, read_audio(tmp_path / "clip.wav"))


@pytest.mark.parametrize(("name", "container", "codec"), [FORMATS[0], FORMATS[4]])
def test_damage_is_an_error_of_ours(tmp_path: Path, name: str, container: str, codec: str) -> None:
    path = write(tmp_path / name, container, codec)
    intact = path.read_bytes()
    for kept in (12, 60, len(intact) // 2):
        path.write_bytes(intact[:kept])
        with contextlib.suppress(AudioError):
            assert np.isfinite(read_audio(path)).all()


def test_nothing_but_the_content_is_opened(tmp_path: Path) -> None:
    """A playlist in the clothes of a clip names other files."""
    soundfile.write(tmp_path / "secret.wav", TONE, RATE)
    path = tmp_path / "list.m4a"
    path.write_text(f"#EXTM3U\n#EXTINF:2,\n{tmp_path / 'secret.wav'}\n#EXT-X-ENDLIST\n")
    with pytest.raises(AudioError, match=r"list\.m4a is not audio"):
        read_audio(path)


class TestWithoutTheLibrary:
    @pytest.fixture(autouse=True)
    def _hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = importlib.util.find_spec

        def find_spec(name: str, package: str | None = None) -> Any:
            return None if name == "av" else usual(name, package)

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)

    def test_the_format_and_the_way_to_install_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "phone.m4a"
        path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
        with pytest.raises(AudioError, match=r"phone\.m4a is MP4, M4A.*PyAV: pip install 'quantk"):
            read_audio(path)

    def test_a_folder_counts_and_names_them(self, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "good.wav", TONE, RATE)
        (tmp_path / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
        (tmp_path / "page.webm").write_bytes(b"\x1aE\xdf\xa3" + bytes(100))
        corpus = open_corpus(tmp_path)
        assert [clip.identifier for clip in corpus] == ["good.wav"]
        assert [Path(reason.partition(" is ")[0]).name for reason in corpus.skipped] == [
            "page.webm",
            "phone.m4a",
        ]


@pytest.mark.parametrize(
    ("name", "container", "codec"), [("a.m4a", "ipod", "aac"), ("a.mp4", "mp4", "alac")]
)
def test_files_that_were_joined_are_all_heard(
    tmp_path: Path, name: str, container: str, codec: str
) -> None:
    path = write(tmp_path / name, container, codec)
    one = read_audio(path)
    path.write_bytes(path.read_bytes() * 2)
    np.testing.assert_array_equal(read_audio(path), np.concatenate([one, one]))
    assert audio_seconds(path) == pytest.approx(2 * len(one) / 16_000, abs=0.2)


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [("a.aac", "adts", "aac"), ("a.mka", "matroska", "flac"), ("a.webm", "webm", "libopus")],
)
def test_what_is_cut_off_is_heard_where_no_transcript_speaks_of_the_rest(
    tmp_path: Path, name: str, container: str, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / name, container, codec)
    whole = read_audio(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    left = read_audio(path, complete=False)
    assert 0.4 * whole.size < left.size < 0.9 * whole.size
    assert f"{name} is " in caplog.text
    with pytest.raises(AudioError, match=r"is (cut off|damaged)"):
        read_audio(path)


@pytest.mark.parametrize(("name", "container"), [("a.sox", "sox"), ("a.nut", "nut")])
def test_containers_of_programs(tmp_path: Path, name: str, container: str) -> None:
    path = write(tmp_path / name, container, "pcm_s32le")
    assert len(read_audio(path)) == pytest.approx(2 * 16_000, abs=500)

"""Files in, transcripts with their durations out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.arrays import FloatArray
from quantkit.audio.utterance import Utterance
from quantkit.errors import AudioError, InputError
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.speech_model import Output, Segment
from quantkit.runtime.transcriber import Transcript, transcribe
from quantkit.runtime.voice_activity import Stretch, VoiceActivity
from quantkit.text.captions import Caption
from quantkit.text.decoding import Decoding
from quantkit.text.words import Word


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


def test_a_clip_that_cannot_be_read_does_not_end_the_others(artifact: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, 0.1 * np.random.default_rng(0).standard_normal(8_000), 16_000)
    bad.write_text("no sound")
    failed: list[InputError] = []
    found = transcribe(FrameCounter.load(artifact), [good, bad, good], failed.append)
    assert [each.path for each in found] == [good, good]
    assert [str(error).startswith(f"{bad} is not audio") for error in failed] == [True]


@pytest.mark.slow
def test_a_long_clip_is_heard_in_windows_and_gives_the_same(artifact: Path, tmp_path: Path) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(100 * 8_000)
    soundfile.write(tmp_path / "long.wav", noise, 8_000)
    model = FrameCounter.load(artifact)
    (long,) = transcribe(model, [tmp_path / "long.wav"])
    assert (long.seconds, long.text) == (100.0, "9998 frames")
    features = model.features(Utterance(tmp_path / "long.wav"))
    (windowed,) = model.outputs([features])
    np.testing.assert_allclose(windowed, model._at_once([features])[0], atol=1e-5)


class TestCaptions:
    def test_segments_are_captions(self) -> None:
        transcript = Transcript(None, "a b", 3.0, 0.1, segments=(Segment(0.5, 1.0, "a b"),))
        assert transcript.captions() == [Caption(0.5, 1.0, "a b")]

    def test_words_are_joined_as_in_the_text(self) -> None:
        words = (Word("a", 0.0, 0.5, 1.0), Word("b", 0.5, 1.0, 1.0))
        spaced = Transcript(None, "a b", 3.0, 0.1, words=words)
        joined = Transcript(None, "ab", 3.0, 0.1, words=words)
        assert spaced.captions() == [Caption(0.0, 1.0, "a b")]
        assert joined.captions() == [Caption(0.0, 1.0, "ab")]

    def test_a_text_without_times_stands_for_the_clip(self) -> None:
        assert Transcript(None, "stop", 1.0, 0.1).captions() == [Caption(0.0, 1.0, "stop")]

    def test_silence_has_none(self) -> None:
        assert Transcript(None, "", 1.0, 0.1).captions() == []


class Spoken(VoiceActivity):
    """Finds what the test says."""

    def __init__(self, *places: tuple[float, float]) -> None:
        self.places = places

    def stretches(self, blocks: Iterable[FloatArray]) -> list[Stretch]:
        for _ in blocks:
            pass
        return [Stretch(*place) for place in self.places]


class TestStretches:
    @pytest.fixture
    def clip(self, tmp_path: Path) -> Path:
        noise = 0.1 * np.random.default_rng(0).standard_normal(3 * 16_000)
        soundfile.write(tmp_path / "clip.wav", noise, 16_000)
        return tmp_path / "clip.wav"

    def test_each_is_heard_alone_and_told_with_its_place(self, artifact: Path, clip: Path) -> None:
        model = FrameCounter.load(artifact)
        (found,) = transcribe(model, [clip], voice=Spoken((0.5, 1.0), (2.0, 3.0)))
        assert found.text == "48 frames 98 frames"
        assert found.seconds == 3.0
        assert found.segments == (Segment(0.5, 1.0, "48 frames"), Segment(2.0, 3.0, "98 frames"))

    def test_words_have_times_in_the_recording(self, artifact: Path, clip: Path) -> None:
        model = Recognizer.load(artifact, decoding=Decoding(words=True))
        (whole,) = transcribe(model, [clip], voice=Spoken((0.0, 3.0)))
        (later,) = transcribe(model, [clip], voice=Spoken((1.0, 3.0)))
        assert whole.words
        assert min(word.start for word in later.words) >= 1.0
        assert max(word.end for word in later.words) <= 3.0
        assert [caption.text for caption in later.captions()] == [
            segment.text for segment in later.segments
        ]

    def test_silence_has_no_text(self, artifact: Path, clip: Path) -> None:
        (found,) = transcribe(FrameCounter.load(artifact), [clip], voice=Spoken())
        assert (found.text, found.seconds, found.segments) == ("", 3.0, ())

    def test_one_too_short_for_the_front_end_is_left_out(self, artifact: Path, clip: Path) -> None:
        model = FrameCounter.load(artifact)
        (found,) = transcribe(model, [clip], voice=Spoken((0.5, 0.51), (2.0, 3.0)))
        assert found.text == "98 frames"

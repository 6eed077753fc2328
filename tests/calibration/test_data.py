"""Calibration clips, gone through as often as needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.audio.corpora import open_corpus
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.calibrate import Feed
from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError, ModelError
from quantkit.graph.info import ArtifactInfo

REPOSITORY = Path(__file__).resolve().parents[2]
HEARING = ArtifactInfo(frontend=Frontend())


@pytest.fixture(scope="module")
def speech() -> Corpus:
    return open_corpus(REPOSITORY / "calibration_data").sample(3)


def clip(seed: int, frames: int = 5) -> Feed:
    values = np.random.default_rng(seed).standard_normal((1, frames, 2)).astype(np.float32)
    return f"clip {seed}", {"features": values}


def test_a_corpus_is_heard_anew_each_time(speech: Corpus) -> None:
    feeds = CalibrationData.of(speech, HEARING)
    first, second = list(feeds), list(feeds)
    assert [name for name, _ in first] == [name for name, _ in second]
    assert np.array_equal(first[0][1]["features"], second[0][1]["features"])


def test_it_knows_how_much_there_is_to_hear(speech: Corpus) -> None:
    feeds = CalibrationData.of(speech, HEARING)
    assert feeds.clips == 3
    assert feeds.seconds == pytest.approx(speech.seconds, abs=0.1)


def test_an_iterator_can_be_gone_through_twice() -> None:
    feeds = CalibrationData.of(iter([clip(1), clip(2)]), ArtifactInfo())
    assert len(list(feeds)) == len(list(feeds)) == 2


def test_feeds_stay_what_they_are() -> None:
    feeds = CalibrationData.of([clip(1)], ArtifactInfo())
    assert CalibrationData.of(feeds, ArtifactInfo()) is feeds


def test_the_digest_is_of_what_is_heard_not_of_names() -> None:
    def digest(*clips: Feed) -> str:
        return CalibrationData.of(clips, ArtifactInfo()).digest()

    renamed = ("other", clip(1)[1])
    assert digest(clip(1), clip(2)) == digest(renamed, clip(2))
    assert digest(clip(1)) != digest(clip(2))
    assert digest(clip(1), clip(2)) != digest(clip(2), clip(1))


def test_the_digest_tells_one_long_clip_from_two_short_ones() -> None:
    whole = clip(1, frames=4)[1]["features"]
    parts = [
        (name, {"features": whole[:, half]})
        for name, half in (("a", slice(0, 2)), ("b", slice(2, 4)))
    ]
    one = CalibrationData.of([("whole", {"features": whole})], ArtifactInfo())
    assert CalibrationData.of(parts, ArtifactInfo()).digest() != one.digest()


def test_broken_clips_are_left_out_with_a_reason(tmp_path: Path, speech: Corpus) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF????WAVE")
    feeds = CalibrationData.of(Corpus("mixed", (Utterance(broken), *speech)), HEARING)
    assert feeds.clips == 3
    assert "broken.wav" in feeds.skipped[0]
    list(feeds)
    assert len(feeds.skipped) == 1


def test_a_corpus_of_broken_clips_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF????WAVE")
    with pytest.raises(CorpusError, match="none of 1 clips is usable"):
        list(CalibrationData.of(Corpus("broken", (Utterance(broken),)), HEARING))


def test_audio_needs_a_model_that_hears(speech: Corpus) -> None:
    with pytest.raises(ModelError, match="no front end"):
        list(CalibrationData.of(speech, ArtifactInfo()))


def test_a_small_corpus_is_read_once(speech: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = CalibrationData.of(speech, HEARING)
    first = list(feeds)
    monkeypatch.setattr("quantkit.tasks.corpus_inputs.corpus_feeds", lambda *_: pytest.fail("read"))
    for (name, inputs), (again, same) in zip(first, feeds, strict=True):
        assert name == again
        assert np.array_equal(inputs["features"], same["features"])


def test_a_large_one_is_read_each_time(speech: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = CalibrationData.of(speech, HEARING)
    size = sum(values.nbytes for _, inputs in feeds for values in inputs.values())
    monkeypatch.setattr("quantkit.calibration.data.KEPT_BYTES", size - 1)
    feeds = CalibrationData.of(speech, HEARING)
    first = next(iter(feeds))[1]["features"]
    assert len(list(feeds)) == 3
    assert next(iter(feeds))[1]["features"] is not first


def test_some_of_them_can_be_heard() -> None:
    feeds = CalibrationData.of([clip(seed) for seed in range(4)], ArtifactInfo())
    some = feeds.only([1, 3])
    assert [name for name, _ in some] == ["clip 1", "clip 3"]
    assert some.clips == 2
    assert len(list(some)) == 2

"""Choosing among the utterances of a corpus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.audio.utterance import Corpus, Utterance, usable_corpus
from quantkit.errors import CorpusError, InputError


@pytest.fixture
def corpus() -> Corpus:
    return Corpus(
        "calls",
        (
            Utterance(Path("a"), "one", "ann", "f", "en", "train", 1.0, name="a"),
            Utterance(Path("b"), "two", "bob", "m", "en", "train", 5.0, name="b"),
            Utterance(Path("c"), "drei", "eva", "f", "de", "test", 9.0, name="c"),
            Utterance(Path("d"), "vier", "eva", "f", "de", "train", 20.0, name="d"),
        ),
        ("e: is empty",),
    )


def names(corpus: Corpus) -> str:
    return "".join(u.identifier for u in corpus)


class TestSelect:
    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ({}, "abcd"),
            ({"split": "train"}, "abd"),
            ({"speaker": "eva"}, "cd"),
            ({"gender": "m"}, "b"),
            ({"language": "en"}, "ab"),
            ({"min_seconds": 5.0}, "bcd"),
            ({"max_seconds": 5.0}, "ab"),
            ({"speaker": ("ann", "bob")}, "ab"),
            ({"speaker": ("ann", "eva"), "split": ("train",)}, "ad"),
            ({"split": "train", "gender": "f", "max_seconds": 10.0}, "a"),
        ],
    )
    def test_every_condition_must_hold(
        self, corpus: Corpus, conditions: dict[str, object], expected: str
    ) -> None:
        assert names(corpus.select(**conditions)) == expected  # type: ignore[arg-type]

    def test_each_of_several_values_must_be_known(self, corpus: Corpus) -> None:
        with pytest.raises(CorpusError, match="no utterance matches speaker=eve; speaker is one"):
            corpus.select(speaker=("ann", "eve"))

    def test_what_was_skipped_before_stays_listed(self, corpus: Corpus) -> None:
        assert corpus.select(split="test").skipped == ("e: is empty",)

    @pytest.mark.parametrize(
        ("conditions", "message"),
        [
            ({"split": "dev"}, "no utterance matches split=dev; split is one of: test, train"),
            ({"split": "test", "speaker": "ann"}, "matches split=test, speaker=ann together"),
            ({"min_seconds": 100.0}, "no utterance lasts between 100 and inf s"),
        ],
    )
    def test_no_match_says_what_there_is(
        self, corpus: Corpus, conditions: dict[str, object], message: str
    ) -> None:
        with pytest.raises(CorpusError, match=message):
            corpus.select(**conditions)  # type: ignore[arg-type]

    def test_what_is_not_recorded_cannot_be_selected(self) -> None:
        with pytest.raises(CorpusError, match="gender is not recorded"):
            Corpus("c", (Utterance(Path("a")),)).select(gender="f")

    def test_unknown_durations_are_read_from_the_files(
        self, write_clip: Callable[..., Path], tmp_path: Path
    ) -> None:
        short, long = write_clip("short.flac", 0.5), write_clip("long.ogg", 2.0)
        broken = tmp_path / "broken.wav"
        broken.write_text("no sound")
        corpus = Corpus("c", tuple(Utterance(p) for p in (broken, short, long)))
        selected = corpus.select(min_seconds=1.0)
        assert [u.path for u in selected] == [long]
        assert selected.utterances[0].seconds == pytest.approx(2.0)
        assert len(selected.skipped) == 1
        assert "broken.wav" in selected.skipped[0]


class TestScreened:
    def test_known_durations_are_trusted_without_opening_the_file(self, corpus: Corpus) -> None:
        assert corpus.screened() == corpus

    def test_absurdly_long_clips_are_named(self, corpus: Corpus) -> None:
        screened = corpus.screened(max_seconds=10.0)
        assert names(screened) == "abc"
        assert screened.skipped[-1] == "d lasts 20 s; the limit is 10 s"

    def test_nothing_left_is_an_error_with_counts_and_examples(self, tmp_path: Path) -> None:
        corpus = Corpus("c", tuple(Utterance(tmp_path / f"{i}.wav") for i in range(5)))
        with pytest.raises(CorpusError, match=r"c: no usable clip, 5 skipped: .*; and 2 more"):
            corpus.screened()


class TestSample:
    def test_the_same_seed_gives_the_same_utterances_in_order(self) -> None:
        corpus = Corpus("c", tuple(Utterance(Path(f"{i:03}")) for i in range(100)))
        first = corpus.sample(10, seed=3)
        assert first == corpus.sample(10, seed=3)
        assert first != corpus.sample(10, seed=4)
        identifiers = [u.identifier for u in first]
        assert len(set(identifiers)) == 10
        assert identifiers == sorted(identifiers)

    def test_more_than_there_are_gives_all(self, corpus: Corpus) -> None:
        assert corpus.sample(100) == corpus

    @pytest.mark.parametrize("count", [0, -1])
    def test_at_least_one(self, corpus: Corpus, count: int) -> None:
        with pytest.raises(InputError, match="at least 1"):
            corpus.sample(count)


def test_labelled_means_every_transcript_is_there(corpus: Corpus) -> None:
    assert corpus.labelled
    assert not Corpus("c", (*corpus.utterances, Utterance(Path("x")))).labelled


def test_values_and_total_duration(corpus: Corpus) -> None:
    assert corpus.values("speaker") == ("ann", "bob", "eva")
    assert corpus.seconds == 35.0


def test_a_corpus_without_clips_is_an_error() -> None:
    with pytest.raises(CorpusError, match="calls: there is no clip in it"):
        usable_corpus("calls", [], [])


def test_a_named_part_wins_over_the_usual_one_and_all_means_all(corpus: Corpus) -> None:
    first = sorted(corpus.values("split"))[0]
    assert {u.split for u in corpus.part("", usually=first)} == {first}
    assert len(corpus.part("", usually="never heard of")) == len(corpus)
    assert len(corpus.part("all", usually=first)) == len(corpus)
    with pytest.raises(CorpusError):
        corpus.part("never heard of", usually=first)


def test_a_corpus_of_which_nothing_is_usable_names_the_first_reason() -> None:
    corpus = Corpus("c", (Utterance(Path("a.wav")), Utterance(Path("b.wav"))))
    error = corpus.none_usable(["a.wav: not audio", "b.wav: too short"])
    assert isinstance(error, CorpusError)
    assert str(error) == "c: none of 2 clips is usable; the first: a.wav: not audio"
    assert str(corpus.none_usable([])) == "c: none of 2 clips is usable"


def test_several_parts_may_be_named(corpus: Corpus) -> None:
    assert names(corpus.part(("train", "test"), usually="train")) == "abcd"
    assert names(corpus.part(("test", "all"), usually="train")) == "abcd"
    assert names(corpus.part((), usually="test")) == "c"
    with pytest.raises(CorpusError, match="split=dev"):
        corpus.part(("train", "dev"), usually="train")


def test_a_clip_that_is_cut_off_is_of_use_where_it_has_no_transcript(tmp_path: Path) -> None:
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(16_000, np.float32), 16_000)
    path.write_bytes(path.read_bytes()[:20_000])
    (clip,) = Corpus("heard", (Utterance(path),)).screened().utterances
    assert clip.seconds == pytest.approx(0.62, abs=0.01)
    with pytest.raises(CorpusError, match="is cut off"):
        Corpus("spoken", (Utterance(path, "a sentence"),)).screened()

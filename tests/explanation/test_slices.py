"""Clips by whom they are of and how long they are, with what is lost in each group."""

from __future__ import annotations

import pytest

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.explanation.slices import Errors, slices
from quantkit.sensitivity.model_divergence import ClipComparison
from quantkit.text.changes import TextPair
from quantkit.text.labels import Labels
from quantkit.text.scoring import LabelScoring

SCORING = LabelScoring(Labels(("_", " ", *"abcdefghijklmnopqrstuvwxyz")))


def clip(name: str, nats: float, after: str = "a b") -> ClipComparison:
    return ClipComparison(name, nats, 10, TextPair(name, "a b", after))


CLIPS = [clip("1", 0.1), clip("2", 0.3, "a c"), clip("3", 0.5), clip("4", 0.1)]
CORPUS = Corpus(
    "corpus",
    tuple(
        Utterance(None, text, speaker=speaker, gender=gender, seconds=seconds, name=name)
        for name, text, speaker, gender, seconds in (
            ("1", "a b", "ann", "f", 1.0),
            ("2", "a b", "ann", "f", 2.0),
            ("3", "x b", "bob", "m", 3.0),
            ("4", None, "cid", "m", 4.0),
        )
    ),
)


def found(by: str, corpus: Corpus | None = CORPUS):
    return [each for each in slices(CLIPS, corpus, SCORING) if each.by == by]


def test_all_clips_come_first() -> None:
    first = slices(CLIPS, CORPUS, SCORING)[0]
    assert (first.by, first.clips) == ("all", 4)
    assert first.divergence.mean == pytest.approx(1.0 / 40)
    assert first.changed == pytest.approx(1 / 8)


def test_groups_are_ordered_by_what_they_lose() -> None:
    assert [each.value for each in found("speaker")] == ["bob", "ann", "cid"]
    assert [each.value for each in found("gender")] == ["m", "f"]
    assert found("speaker")[1].divergence.mean == pytest.approx(0.02)


def test_errors_are_counted_where_there_are_transcripts() -> None:
    assert [each.errors for each in found("speaker")] == [
        Errors("words", 1, 1, 2),
        Errors("words", 0, 1, 4),
        None,
    ]


def test_a_property_that_all_clips_share_divides_nothing() -> None:
    assert not found("language")


def test_few_clips_are_not_divided_by_length() -> None:
    assert not found("length")


def test_many_clips_are_divided_into_thirds_by_length() -> None:
    clips = [clip(str(i), 0.1 * i) for i in range(9)]
    corpus = Corpus("many", tuple(Utterance(None, name=str(i), seconds=1.0 + i) for i in range(9)))
    rows = [each for each in slices(clips, corpus, None) if each.by == "length"]
    assert [each.value for each in rows] == ["from 7.0 s", "4.0 to 7.0 s", "below 4.0 s"]
    assert [each.clips for each in rows] == [3, 3, 3]
    assert all(each.changed is None for each in rows)


def test_without_a_corpus_there_are_all_clips_only() -> None:
    assert len(slices(CLIPS, None, SCORING)) == 1

"""Clips by whom they are of and how long they are, with what is lost in each group."""

from __future__ import annotations

import pytest

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import InputError
from quantkit.sensitivity.model_divergence import ClipComparison
from quantkit.slices.by import parse_by
from quantkit.slices.compared import Wanted, slices
from quantkit.slices.errors import Part
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
    assert first.changed_share == pytest.approx(1 / 8)


def test_groups_are_ordered_by_what_they_lose() -> None:
    assert [each.value for each in found("speaker")] == ["bob", "ann", "cid"]
    assert [each.value for each in found("gender")] == ["m", "f"]
    assert found("speaker")[1].divergence.mean == pytest.approx(0.02)


def test_errors_are_counted_where_there_are_transcripts() -> None:
    shown = [each.to_json()["errors"] for each in found("speaker")]
    assert shown == [
        {"unit": "words", "float32": 1, "file": 1, "total": 2},
        {"unit": "words", "float32": 0, "file": 1, "total": 4},
        None,
    ]


def test_insertions_deletions_and_first_words_are_told_apart() -> None:
    corpus = Corpus("one", (Utterance(None, "a b c", name="1"),))
    clips = [ClipComparison("1", 0.1, 10, TextPair("1", "a b c", "x a c"))]
    (row,) = slices(clips, corpus, SCORING)
    assert row.float32 is not None
    assert row.file is not None
    assert row.file.words is not None
    assert row.float32.units.errors == 0
    counts = row.file.words
    assert (counts.insertions, counts.deletions, counts.substitutions) == (1, 1, 0)
    assert (row.file.first, row.file.last) == (Part(1, 1), Part(0, 1))


def test_words_of_a_list_are_counted_apart() -> None:
    wanted = Wanted(rare_words=frozenset(("C",)))
    row = slices(CLIPS, CORPUS, SCORING, wanted)[0]
    assert row.changed is not None
    assert row.changed.rare == Part(0, 0)
    row = slices(CLIPS, CORPUS, SCORING, Wanted(rare_words=frozenset(("B",))))[0]
    assert row.changed is not None
    assert row.changed.rare == Part(1, 4)


def test_properties_that_are_asked_for_are_shown_even_if_all_clips_share_them() -> None:
    wanted = Wanted(parse_by("gender,length:2.5"))
    rows = slices(CLIPS, CORPUS, SCORING, wanted)
    assert [each.name for each in rows] == [
        "all",
        "gender: m",
        "gender: f",
        "length: from 2.5 s",
        "length: below 2.5 s",
    ]
    assert all(each.is_small for each in rows)


@pytest.mark.parametrize("corpus", [CORPUS, None])
def test_a_property_that_no_clip_has_is_refused(corpus: Corpus | None) -> None:
    with pytest.raises(InputError, match="--by takes"):
        slices(CLIPS, corpus, SCORING, Wanted(parse_by("dialect")))


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

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.audio.utterance import Utterance
from quantkit.errors import CorpusError
from quantkit.training.keywords.speakers import open_part, person_of, split_of
from quantkit.training.mixture import Part, held_out_part
from quantkit.training.recipe import Source

_SOURCE = Source("words", holdout="speaker", test_share=0.3, valid_share=0.2)
_PARTS: tuple[Part, ...] = ("train", "valid", "test")


@pytest.mark.parametrize(
    ("speaker", "person"),
    [
        ("0c540988", "0c540988"),
        ("backward_0c540988", "0c540988"),
        ("none", ""),
        ("", ""),
        ("george", "george"),
        ("mary_ann", "mary_ann"),
    ],
)
def test_a_person_has_one_name_whatever_they_say(speaker: str, person: str) -> None:
    assert person_of(speaker) == person


def test_no_person_is_both_trained_on_and_tested(keyword_corpus: Path) -> None:
    people = {
        part: {u.speaker for u in open_part(_SOURCE, keyword_corpus, part)} for part in _PARTS
    }
    assert len(set.union(*people.values()) - {""}) == 30
    for part in _PARTS:
        others = set.union(*(people[other] for other in _PARTS if other != part))
        assert not (people[part] - {""}) & others


def test_every_clip_is_in_one_part(keyword_corpus: Path) -> None:
    names = [u.name for part in _PARTS for u in open_part(_SOURCE, keyword_corpus, part)]
    assert len(names) == len(set(names)) == 150


def test_clips_of_nobody_are_split_one_by_one(keyword_corpus: Path) -> None:
    silent = {
        part: [u for u in open_part(_SOURCE, keyword_corpus, part) if u.text == "silence"]
        for part in _PARTS
    }
    assert sum(map(len, silent.values())) == 30
    assert sum(bool(clips) for clips in silent.values()) > 1


def test_the_split_is_that_of_other_recipes(tmp_path: Path) -> None:
    clip = Utterance(tmp_path / "a.wav", "yes", speaker="0c540988")
    assert split_of(clip, _SOURCE, tmp_path) == held_out_part(clip, _SOURCE, tmp_path)


def test_classes_can_be_merged_or_left_out(keyword_corpus: Path) -> None:
    source = Source("words", valid_share=0.0, rename={"low": "tone"}, drop=("silence",))
    assert {u.text for u in open_part(source, keyword_corpus, "train")} == {"tone", "high"}


def test_an_empty_part_and_a_clip_without_class_are_errors(
    keyword_corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="no utterance is left for test"):
        open_part(Source("words"), keyword_corpus, "test")
    (tmp_path / "clip.wav").write_bytes((keyword_corpus / "low0.wav").read_bytes())
    with pytest.raises(CorpusError, match=r"clip\.wav has no class"):
        open_part(Source("words"), tmp_path, "train")

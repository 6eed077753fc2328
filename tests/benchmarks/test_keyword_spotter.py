"""The table of the keyword spotter's card."""

from __future__ import annotations

from benchmarks.keyword_spotter import accuracy_table, by_person
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.training.keywords.validation import Accuracy


def test_all_classes_together_come_first_then_each_on_its_own() -> None:
    people = [Accuracy({"stop": (True, False) * 50}), Accuracy({"go": (True,) * 4})]
    lines = accuracy_table(people).splitlines()
    assert lines[2].startswith("| all | 104 | 51.9% [")
    # Two people are either of them, or both, when drawn with replacement.
    assert lines[3] == "| all, drawn by person | 104 | 51.9% [50.0%, 100.0%] |"
    assert lines[4] == "| go | 4 | 100.0% [100.0%, 100.0%] |"
    assert lines[5].startswith("| stop | 100 | 50.0% [")


def test_a_persons_clips_stay_together_and_silence_is_nobodys() -> None:
    clips = [Utterance(None, "go", speaker="ann", name="1"), Utterance(None, "silence", name="2")]
    clips += [Utterance(None, "silence", name="3"), Utterance(None, "up", speaker="ann", name="4")]
    groups = by_person(Corpus("words", tuple(clips)))
    assert [[u.name for u in group] for group in groups] == [["1", "4"], ["2"], ["3"]]

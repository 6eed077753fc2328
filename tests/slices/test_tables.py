"""Slices as tables, with transcripts and without."""

from __future__ import annotations

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.sensitivity.model_divergence import ClipComparison
from quantkit.slices.compared import slices
from quantkit.slices.page import slices_html
from quantkit.slices.tables import slice_tables
from quantkit.text.changes import TextPair
from quantkit.text.labels import Labels
from quantkit.text.scoring import LabelScoring

SCORING = LabelScoring(Labels(("_", " ", *"abcdefghijklmnopqrstuvwxyz")))
PAIRS = [TextPair(f"{i}", "a b c", "a x c d" if i < 2 else "a b c") for i in range(8)]
CLIPS = [ClipComparison(pair.clip, 0.1, 10, pair) for pair in PAIRS]


def corpus(text: str | None) -> Corpus:
    clips = (Utterance(None, text, name=f"{i}", gender="f" if i < 3 else "m") for i in range(8))
    return Corpus("corpus", tuple(clips))


def test_without_transcripts_changes_are_counted() -> None:
    main, words = slice_tables(slices(CLIPS, corpus(None), SCORING), "frame")
    assert main.columns == ("clips", "count", "nats per frame", "changed, %")
    rows = {row[0]: row for row in words.rows}
    assert rows["all"][1:4] == ("2", "0", "2")
    assert rows["gender: m *"][1:4] == ("0", "0", "0")
    assert "what the file writes otherwise" in words.caption
    assert "fewer than 8 clips" in main.caption


def test_with_transcripts_errors_of_both_files_stand_beside_each_other() -> None:
    main, words = slice_tables(slices(CLIPS, corpus("a b c e"), SCORING), "frame")
    assert main.columns[-2:] == ("words wrong, float32, %", "words wrong, file, %")
    (row,) = (row for row in words.rows if row[0] == "all")
    assert row[1:4] == ("0", "8 → 6", "0 → 4")
    assert row[-1] == "100.0"


def test_a_page_names_the_second_table() -> None:
    page = slices_html(slices(CLIPS, corpus(None), SCORING), "frame")
    assert page.count("<table>") == 2
    assert "<h3>Which words</h3>" in page

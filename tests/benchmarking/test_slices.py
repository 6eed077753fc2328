"""A bench run by slices: what is known of its clips, and what models do to each slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.page import render_page
from quantkit.benchmarking.run import run_bench
from quantkit.benchmarking.schema import BenchReport, read_report, write_report
from quantkit.benchmarking.settings import BenchSettings
from quantkit.benchmarking.slice_tables import slice_tables
from quantkit.benchmarking.slices import slices_of
from quantkit.benchmarking.tables import tables_of
from quantkit.errors import InputError
from quantkit.slices.by import parse_by

MakeModel = Callable[..., Path]


@pytest.fixture
def spoken(corpus: Corpus) -> Corpus:
    """Clips of two speakers, one of whom has an accent, and one clip without a transcript."""
    clips = tuple(
        replace(
            clip,
            speaker="ann" if i % 2 else "bob",
            seconds=1.0 + i,
            columns={"accent": "yes"} if i % 2 else {},
            text=None if i == 4 else clip.text,
        )
        for i, clip in enumerate(corpus)
    )
    return replace(corpus, utterances=clips)


@pytest.fixture
def sliced(make_model: MakeModel, spoken: Corpus, quick: BenchSettings) -> BenchReport:
    models = [make_model("good"), make_model("bad", "swapped")]
    settings = replace(quick, by=parse_by("speaker,accent,length:3"))
    return run_bench(models, spoken, settings)


def test_each_slice_has_a_row_for_each_model(sliced: BenchReport) -> None:
    found = [(each.name, each.model, each.clips, each.labelled) for each in sliced.slices]
    assert found == [
        ("all", "good", 5, 4),
        ("all", "bad", 5, 4),
        ("speaker: ann", "good", 2, 2),
        ("speaker: ann", "bad", 2, 2),
        ("speaker: bob", "good", 3, 2),
        ("speaker: bob", "bad", 3, 2),
        ("accent: yes", "good", 2, 2),
        ("accent: yes", "bad", 2, 2),
        ("length: below 3 s", "good", 2, 2),
        ("length: below 3 s", "bad", 2, 2),
        ("length: from 3 s", "good", 3, 2),
        ("length: from 3 s", "bad", 3, 2),
    ]


def test_errors_of_a_slice_are_those_of_its_clips(sliced: BenchReport) -> None:
    rows = {(each.name, each.model): each for each in sliced.slices}
    good, bad = sliced.models
    for model in (good, bad):
        whole = rows["all", model.name].errors
        assert whole is not None
        assert whole.words is not None
        assert model.wer_edits is not None
        assert vars(whole.words) == vars(model.wer_edits)
        assert whole.units.errors == sum(each.distance for each in model.utterances)
    parts = [rows[f"speaker: {name}", "bad"].errors for name in ("ann", "bob")]
    total = rows["all", "bad"].errors
    assert parts[0] is not None
    assert parts[1] is not None
    assert parts[0] + parts[1] == total


def test_without_transcripts_texts_and_probabilities_are_compared(sliced: BenchReport) -> None:
    rows = {(each.name, each.model): each for each in sliced.slices}
    good, bad = rows["all", "good"], rows["all", "bad"]
    assert good.changed is None
    assert good.divergence == 0.0
    assert bad.changed is not None
    assert bad.changed.units.errors > 0
    assert bad.changed.first.total == 5
    assert bad.divergence is not None
    assert bad.divergence > 1.0
    assert [each.id for each in sliced.models[0].unlabelled] == ["clip-abba ab aa"]
    assert sliced.models[0].unlabelled[0].hypothesis == "abba ab aa"


def test_the_report_keeps_what_is_known_of_its_clips(sliced: BenchReport, tmp_path: Path) -> None:
    write_report(sliced, tmp_path / "bench.json")
    read = read_report(tmp_path / "bench.json")
    assert read == sliced
    clips = {each.clip: each for each in read.clips}
    assert clips["clip-a b ab"].named == {"accent": "yes", "speaker": "ann"}
    assert clips["clip-abba ab aa"].measured == {"length": 5.0, "rate": 2.0}
    assert slices_of(read, parse_by(read.by)) == sliced.slices


def test_pages_and_tables_show_slices_with_few_clips_as_such(sliced: BenchReport) -> None:
    overview, full = slice_tables(sliced)
    assert overview.columns == ("clips", "count", "good", "bad")
    assert overview.rows[1][0] == "speaker: ann *"
    assert "fewer than 8 clips" in overview.caption
    assert [row[1] for row in full.rows[:2]] == ["good", "bad"]
    page = render_page(sliced)
    assert 'href="#whose-clips"' in page
    assert "speaker: bob" in page


def test_a_run_that_is_not_divided_says_nothing_of_slices(report: BenchReport) -> None:
    assert report.slices == ()
    assert slice_tables(report) == []
    assert "Whose clips" not in {table.title for table in tables_of(report)}
    assert "whose-clips" not in render_page(report)


def test_unlabelled_clips_have_slices_too(
    make_model: MakeModel, spoken: Corpus, quick: BenchSettings
) -> None:
    bare = replace(spoken, utterances=tuple(replace(clip, text=None) for clip in spoken))
    settings = replace(quick, by=parse_by("speaker"))
    found = run_bench([make_model("good"), make_model("bad", "swapped")], bare, settings)
    overview, full = slice_tables(found)
    assert overview.columns == ("clips", "count", "bad")
    assert [row[1] for row in full.rows] == ["bad"] * 3
    assert "Against the texts of good" in full.caption


def test_a_property_that_no_clip_has_is_refused_before_anything_is_measured(
    make_model: MakeModel, spoken: Corpus, quick: BenchSettings
) -> None:
    with pytest.raises(InputError, match="no clip has the property 'noise'; --by takes accent"):
        run_bench([make_model("good")], spoken, replace(quick, by=parse_by("noise")))

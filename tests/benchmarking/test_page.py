"""The HTML page, its plots and the tables."""

from __future__ import annotations

import re
import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from quantkit.benchmarking.page import render_page
from quantkit.benchmarking.plots import plots_of
from quantkit.benchmarking.plots.pareto import pareto_plot
from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.tables import corpus_line, markdown_report, tables_of
from quantkit.report.terminal import print_report_table
from tests.pages import (
    Page,
    assert_links_lead_somewhere,
    assert_self_contained,
    read_page,
)


def parsed(report: BenchReport) -> Page:
    return read_page(render_page(report))


@pytest.mark.slow
def test_the_page_needs_nothing_else(report: BenchReport) -> None:
    assert_self_contained(render_page(report))


@pytest.mark.slow
def test_ids_are_unique_and_every_reference_has_its_target(report: BenchReport) -> None:
    assert_links_lead_somewhere(render_page(report))


@pytest.mark.slow
def test_the_page_tells_the_figures(report: BenchReport) -> None:
    text = parsed(report).text
    for expected in ("2 models, 5 utterances", "0.60", "13.0", "abba ab aa", "How to read it"):
        assert expected in text
    assert report.host.cpu in text


def test_hostile_names_and_texts_stay_text(report: BenchReport) -> None:
    evil = '<script>alert("1")</script>&'
    first = report.models[0]
    row = replace(first.utterances[0], id=evil, reference=evil, hypothesis=evil + "x")
    hostile = replace(
        report,
        models=(replace(first, name=evil, utterances=(row,)),),
        corpus=replace(report.corpus, name=evil),
        notes=(evil,),
    )
    page = parsed(hostile)
    assert "script" not in page.tags
    assert evil in page.text
    assert "<script>" not in markdown_report(hostile).split("## Host")[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["$x^$ {_", "модель", "模型", "नमूना", "long-" * 30, "a|b*c`d"])
def test_any_name_can_be_drawn(report: BenchReport, name: str) -> None:
    models = tuple(replace(m, name=n) for m, n in zip(report.models, ("first", name), strict=True))
    named = replace(report, models=models)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = parsed(named)
    assert name in page.text
    assert name.replace("|", "\\|") in markdown_report(named)


@pytest.mark.slow
def test_many_models_have_a_colour_each_and_names_that_do_not_overlap(report: BenchReport) -> None:
    first, second = report.models
    models = [first, *(replace(second, name=f"a model of some name, {i}") for i in range(1, 16))]
    many = replace(report, models=tuple(models))
    html = render_page(many)
    legend = html[html.index('<div class="legend">') :].partition("</div>")[0]
    colours = re.findall(r"var\((--model-\d+)\)", legend)
    assert len(set(colours)) == len(models)
    values = [re.findall(rf"{colour}: (#[0-9a-f]{{6}});", html) for colour in colours]
    light, dark = zip(*values, strict=True)
    assert len(set(light)) == len(set(dark)) == len(models)
    # All but one lie at the same place, where there is not room for fifteen names.
    plot = pareto_plot(many)
    written = re.findall(r"a model of some name, \d+", plot.svg)
    assert 1 < len(written) < 15
    assert "Where there was no room for a name, the table has it." in plot.caption
    assert "no room" not in pareto_plot(report).caption


def test_filters_are_recorded(report: BenchReport) -> None:
    chosen = replace(report.corpus, split="test", filters=("speaker ann", "gender f"))
    line = corpus_line(replace(report, corpus=chosen))
    assert "of letters, split test, speaker ann, gender f, " in line


@pytest.mark.slow
def test_predictions_show_what_changed(report: BenchReport) -> None:
    text = parsed(report).text
    assert "5 of 5 texts differ from good's" in text
    assert text.index("bad5 of 5 texts") < text.index("good0.60 edits on average")
    assert "Worse0 edits before, " in text


def test_a_page_without_transcripts(unlabelled: BenchReport) -> None:
    text = parsed(unlabelled).text
    assert "accuracy is left out" in text
    assert "Predictions" not in text
    assert "What it hears" not in text


@pytest.mark.slow
def test_every_plot_of_the_source_work_is_there(report: BenchReport) -> None:
    assert [plot.title for plot in plots_of(report)] == [
        "Loss",
        "Levenshtein distance",
        "Change against good",
        "Size",
        "Size against Levenshtein distance",
        "Levenshtein distance by batch size",
        "Latency",
        "Time by batch size",
        "Edit distances",
        "Length against edit distance",
    ]


def test_plots_without_transcripts(unlabelled: BenchReport) -> None:
    titles = [plot.title for plot in plots_of(unlabelled)]
    assert titles == ["Size", "Latency", "Time by batch size"]


@pytest.mark.slow
def test_plots_are_svg_in_the_colours_of_the_page(report: BenchReport) -> None:
    for plot in plots_of(report):
        root = ElementTree.fromstring(plot.svg)
        assert root.tag.endswith("svg")
        assert root.get("viewBox")
        assert root.get("aria-label")
        assert root.get("width") is None
        assert not re.search(r"#[ab]0000\d", plot.svg)
        assert "var(--" in plot.svg


@pytest.mark.slow
def test_plots_are_the_same_every_time(report: BenchReport) -> None:
    assert plots_of(report) == plots_of(report)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 11])
def test_any_number_of_models(report: BenchReport, count: int) -> None:
    models = tuple(replace(report.models[0], name=f"m{i}") for i in range(count))
    text = parsed(replace(report, models=models)).text
    assert f"{count} model{'s' if count > 1 else ''}, 5 utterances" in text
    assert all(model.name in text for model in models)


@pytest.mark.slow
def test_perfect_models_and_missing_losses(report: BenchReport) -> None:
    perfect = tuple(
        replace(u, hypothesis=u.reference, distance=0, loss=None)
        for u in report.models[0].utterances
    )
    model = replace(
        report.models[0],
        utterances=perfect,
        loss=None,
        levenshtein=0.0,
        levenshtein_ci=(0.0, 0.0),
        batches=tuple(replace(row, levenshtein=0.0) for row in report.models[0].batches),
    )
    text = parsed(replace(report, models=(model, replace(model, name="twin")))).text
    assert "not measurably different" in text


def test_markdown_tables_are_well_formed(report: BenchReport) -> None:
    blocks = re.findall(r"(?:^\|.*\|\n)+", markdown_report(report), flags=re.MULTILINE)
    assert len(blocks) == len(tables_of(report)) == 4
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


@pytest.mark.parametrize("width", [60, 100, 200])
def test_tables_fit_the_terminal(report: BenchReport, width: int) -> None:
    # What was measured has as many digits as the machine is slow.
    row = replace(report.models[0].latency_ms[0], p50=1.25, p95=2.5, speedup_ci=(0.98, 1.02))
    measured = {"load_s": 0.0123, "peak_rss_bytes": 123_400_000, "latency_ms": (row,)}
    report = replace(report, models=tuple(replace(m, **measured) for m in report.models))
    stream = StringIO()
    console = Console(file=stream, width=width)
    for table in tables_of(report)[:-1]:
        print_report_table(table, console)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in stream.getvalue()
    assert ("weights MB/s" in stream.getvalue()) == (width > 60)

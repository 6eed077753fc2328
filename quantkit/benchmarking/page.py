"""The report as one self-contained HTML page: no network, no script, no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from quantkit.benchmarking.comparison import verdict
from quantkit.benchmarking.plots import Plot, plots_of
from quantkit.benchmarking.predictions import Change, changed_predictions, select_predictions
from quantkit.benchmarking.schema import BenchReport, ModelResult, UtteranceResult
from quantkit.benchmarking.tables import corpus_line, host_lines, tables_of
from quantkit.disk.files import write_text
from quantkit.report.html import (
    document,
    figures_html,
    legend,
    model_chip,
    navigation_to,
    table_html,
)
from quantkit.report.plotting import MODEL_COLOURS
from quantkit.report.table import Table
from quantkit.report.text_pairs import differences, marked, pair_html

_READING = (
    "<b>Levenshtein distance</b> is the fewest insertions, deletions and substitutions that turn "
    "the transcript into the reference, as a mean per utterance. Long utterances weigh more.",
    "<b>CER</b> and <b>WER</b> are edits of characters and words over all characters and words of "
    "the references; they can exceed 100 % when much is inserted.",
    "<b>[a, b]</b> is a 95 % bootstrap interval over utterances: the plausible range for another "
    "sample of clips from the same source. Intervals of two models can overlap even if one is "
    "worse on nearly every clip. To compare models, use the paired <b>change</b>. If its interval "
    "contains 0, no difference was shown.",
    "<b>Loss</b> measures the model without the decoder: it changes before the transcripts do.",
    "<b>Latency</b> is wall time of the model alone. Milliseconds apply to this host only; the "
    "ratio to the first model carries over better, as runs of all models were interleaved in one "
    "process. <b>p95</b> is the time that 19 of 20 runs stay below; it needs many rounds.",
    "<b>Weights MB/s</b> is the weight traffic of one stream: bytes of weights in the optimised "
    "graph, times runs per second of audio when each clip is one run. On small devices it "
    "determines speed and battery life.",
    "<b>Peak MB</b> is the highest resident memory of a separate process that loads the model and "
    "runs the longest clip, including Python and ONNX Runtime.",
)


def write_page(report: BenchReport, destination: Path) -> None:
    """Write ``index.html`` atomically."""
    write_text(destination, render_page(report))


def render_page(report: BenchReport) -> str:
    """The page as HTML."""
    sections = [
        _at_a_glance(report),
        *(_table_section(table, report) for table in tables_of(report)[:-1]),
        _plot_section(plots_of(report), report),
        _table_section(tables_of(report)[-1], report),
    ]
    if report.scored:
        sections.append(_prediction_section(report))
    sections += [_reading_section(), _host_section(report)]
    navigation = navigation_to(
        (anchor, label)
        for anchor, label in (
            ("glance", "At a glance"),
            ("what-it-costs", "Cost"),
            ("what-it-hears", "Accuracy"),
            ("whose-clips", "Slices"),
            ("plots", "Plots"),
            ("predictions", "Predictions"),
            ("reading", "How to read it"),
            ("host", "Host"),
        )
        if (report.scored or anchor not in ("what-it-hears", "predictions"))
        and (report.slices or anchor != "whose-clips")
    )
    return document(
        title=f"quantkit bench: {', '.join(model.name for model in report.models)}",
        heading=f"{len(report.models)} model{'s' * (len(report.models) > 1)}, "
        f"{report.corpus.utterances} utterances",
        subtitle=corpus_line(report),
        navigation=navigation,
        body="".join(sections),
        footer=f"Made by quantkit {report.host.quantkit}. The figures behind this page are in "
        "bench.json.",
        style="",
    )


def _colour(index: int) -> str:
    return f"--colour: var(--model-{index % MODEL_COLOURS})"


def _at_a_glance(report: BenchReport) -> str:
    cards = []
    for i, model in enumerate(report.models):
        sentence = "The reference for the other models." if i == 0 else verdict(model, report)
        sentence = sentence[0].upper() + sentence[1:]
        cards.append(
            f'<div class="card" style="{_colour(i)}"><h3>{escape(model.name)}</h3>'
            f'<p>{escape(sentence)}</p><p class="muted">{escape(model.variant)}</p></div>'
        )
    notes = ""
    if report.notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
        notes = f'<ul class="notes">{items}</ul>'
    return f'<h2 id="glance">At a glance</h2><div class="cards">{"".join(cards)}</div>{notes}\n'


def _table_section(table: Table, report: BenchReport) -> str:
    anchor = "-".join(table.title.lower().rstrip("?").split())
    names = [model.name for model in report.models]

    def cell(row: Sequence[str], index: int) -> str:
        named = index == table.model_column and row[index] in names
        return (model_chip(names.index(row[index])) if named else "") + escape(row[index])

    if table.folded:
        title = escape(table.title)
        return f"<details><summary>{title}</summary>{table_html(table, cell)}</details>"
    return f'<h2 id="{anchor}">{escape(table.title)}</h2>{table_html(table, cell)}'


def _plot_section(plots: list[Plot], report: BenchReport) -> str:
    chips = legend(
        (f"model-{i % MODEL_COLOURS}", model.name) for i, model in enumerate(report.models)
    )
    return f'<h2 id="plots">Plots</h2>{chips}{figures_html(plots)}'


def _prediction_section(report: BenchReport) -> str:
    first, *others = report.models
    blocks = "".join(_changes(i, model, report) for i, model in enumerate(others, 1))
    what = f"of the others, the texts that are not those of {escape(first.name)}; " * bool(others)
    return (
        f'<h2 id="predictions">Predictions</h2><p class="muted">Of {escape(first.name)}, the best, '
        f"most average and worst utterances; {what}at most five of each kind. "
        "<mark>Changed</mark> units replace one another; "
        '<mark class="only">these</mark> are missing on the other side.</p>'
        f"{blocks}{_predictions(first, report, open_=not others)}\n"
    )


def _predictions(model: ModelResult, report: BenchReport, *, open_: bool) -> str:
    selection = select_predictions(model.utterances)
    groups = _groups(
        ("Best", [_utterance(u, report) for u in selection.best]),
        ("Average", [_utterance(u, report) for u in selection.average]),
        ("Worst", [_utterance(u, report) for u in selection.worst]),
    )
    mean = "" if model.levenshtein is None else f"{model.levenshtein:.2f} edits on average"
    return _folded(0, model, mean, groups, open_=open_)


def _changes(index: int, model: ModelResult, report: BenchReport) -> str:
    first = report.models[0]
    changes = changed_predictions(first.utterances, model.utterances)
    groups = _groups(
        ("Worse", [_change(each, report) for each in changes.worse]),
        ("Better", [_change(each, report) for each in changes.better]),
        ("Different, with as many edits", [_change(each, report) for each in changes.equal]),
    )
    text = f"{changes.count} of {len(model.utterances)} texts differ from {first.name}'s"
    return _folded(index, model, text, groups, open_=index == 1)


def _groups(*groups: tuple[str, list[str]]) -> str:
    return "".join(
        f"<div><h3>{title}</h3>{''.join(utterances)}</div>"
        for title, utterances in groups
        if utterances
    )


def _folded(index: int, model: ModelResult, text: str, groups: str, *, open_: bool) -> str:
    return (
        f"<details{' open' * open_}><summary>{model_chip(index)}{escape(model.name)}"
        f'<span class="muted">{escape(text)}</span></summary><div class="groups">{groups}</div>'
        "</details>\n"
    )


def _change(change: Change, report: BenchReport) -> str:
    before, after = change.before, change.after
    left, right = differences(_units(before.hypothesis, report), _units(after.hypothesis, report))
    rows = [("ref", escape(after.reference)), ("before", marked(left)), ("now", marked(right))]
    return (
        f'<div class="utterance"><div class="id">{before.distance} edits before, '
        f"{after.distance} now, in {after.length} · {escape(after.id)} · {after.seconds:.1f} s"
        f"</div>{pair_html(rows)}</div>"
    )


def _utterance(utterance: UtteranceResult, report: BenchReport) -> str:
    left, right = differences(
        _units(utterance.reference, report), _units(utterance.hypothesis, report)
    )
    edits = f"{utterance.distance} edit{'' if utterance.distance == 1 else 's'}"
    return (
        f'<div class="utterance"><div class="id">{edits} in {utterance.length} · '
        f"{escape(utterance.id)} · {utterance.seconds:.1f} s</div>"
        f"{pair_html([('ref', marked(left)), ('hyp', marked(right))])}</div>"
    )


def _units(text: str, report: BenchReport) -> list[str]:
    return [f"{unit} " for unit in text.split()] if report.counted.separated else [*text]


def _reading_section() -> str:
    items = "".join(f"<li>{text}</li>" for text in _READING)
    return f'<h2 id="reading">How to read it</h2><ul class="reading">{items}</ul>\n'


def _host_section(report: BenchReport) -> str:
    lines = "".join(
        f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in host_lines(report)
    )
    return f'<h2 id="host">Host</h2><dl class="card host">{lines}</dl>\n'

"""The report page of a personalization: request, result and reasons.

The page is self-contained: no network, no script, no other file. After ``quantkit analyze`` or
``quantkit plan`` it contains the results up to that step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

from quantkit.disk.files import write_text
from quantkit.graph.plan import Plan, structure_in_words
from quantkit.personalization.page_style import STYLE
from quantkit.personalization.plots.colours import (
    bits_label,
    codec_colours,
    compute_colours,
    step_of,
)
from quantkit.personalization.plots.front_plot import front_plot
from quantkit.personalization.plots.layer_map import layer_map
from quantkit.personalization.plots.sensitivity_plot import sensitivity_plot
from quantkit.personalization.summary import PersonalizeSummary
from quantkit.personalization.tables import (
    bytes_table,
    front_table,
    layer_table,
    sensitivity_table,
    step_table,
)
from quantkit.personalization.widths import compute_in_words, mean_bits, storage_in_words
from quantkit.planning.pareto import Front
from quantkit.report import formatting as f
from quantkit.report.html import (
    Cell,
    card,
    chip,
    document,
    figures_html,
    navigation_to,
    table_html,
    text_cell,
)
from quantkit.report.table import Table
from quantkit.report.text_pairs import MARKS, examples_html
from quantkit.sensitivity.table import Sensitivity
from quantkit.slices.page import slices_html
from quantkit.version import __version__

_READING = (
    "<b>Bits</b> are the storage of one weight in the file. A float32 weight has 32; with 3 bits "
    "it can have 8 different values. Fewer bits give a smaller file and coarser weights.",
    "<b>Layers</b> are the parts that a model computes one after the other. Some tolerate coarse "
    "weights and some do not, and one may contain half of all weights while another contains "
    "hardly any. That is why they get different bits.",
    "<b>Changed</b> words and characters are those that differ between the text of the quantized "
    "model and that of the float32 model for the same clip, both decoded greedily, as a share of "
    "float32's. No transcript is needed. Some changes are for the worse and some for the better: "
    "the share does not show whether the float32 model was right.",
    "<b>Divergence</b> measures how far the output moves: the Kullback–Leibler divergence of the "
    "quantized model's probabilities from those of the float32 model, on these clips, in nats "
    "per {unit}. 0 means identical.",
    "<b>Predicted</b> divergence is that of the plan, tried as a whole. For large models it is the "
    "sum over all layers, each measured alone. <b>Measured</b> divergence is that of the finished "
    "model. Brackets contain the mean over other audio of this kind with 95 % confidence.",
    "<b>Stored</b> and <b>computed</b> are separate: packed weights are unpacked once, while the "
    "model loads, and the kernels then run as fast as with 8 bits.",
)

# Separators in a layer's name, after which a line may break.
_NAME_ENDS = re.compile(r"(?<=[/._])(?=.)")


def write_page(
    path: Path,
    summary: PersonalizeSummary,
    sensitivity: Sensitivity | None = None,
    plan: Plan | None = None,
    front: Front | None = None,
) -> None:
    """Write the page; sections of arguments that are None are left out.

    Raises:
        ModelError: the artifact that ``summary`` names is damaged.
        OutputError: ``path`` cannot be written.
    """
    write_text(path, render_page(summary, sensitivity, plan, front))


def render_page(
    summary: PersonalizeSummary,
    sensitivity: Sensitivity | None = None,
    plan: Plan | None = None,
    front: Front | None = None,
) -> str:
    """The page as HTML; see :func:`write_page`."""
    sections = [
        ("glance", "At a glance", _at_a_glance(summary, plan)),
        ("changed", "What changed", _examples(summary)),
        ("slices", "Whose clips", _slices(summary)),
        ("layers", "Layers", _layers(plan, sensitivity)),
        ("sensitivity", "Sensitivity", _sensitivity(sensitivity, plan)),
        ("front", "Other sizes", _front(front, summary, plan)),
        ("bytes", "Bytes", _bytes(summary)),
        ("time", "Time", _time(summary)),
        ("reading", "How to read it", _reading(summary)),
    ]
    kept = [section for section in sections if section[2]]
    known = _size(summary, plan)
    size = "" if known is None else f": {f.megabytes(known)} MB"
    return document(
        title=f"quantkit: {summary.model}",
        heading=f"{summary.model}{size}",
        subtitle=_subtitle(summary),
        navigation=navigation_to((anchor, label) for anchor, label, _ in kept),
        body="".join(body for _, _, body in kept),
        footer=f"Made by quantkit {__version__}.",
        style=STYLE,
    )


def _size(summary: PersonalizeSummary, plan: Plan | None) -> int | None:
    """Size of the file, or its prediction; None if neither is known."""
    if summary.size_bytes is None and plan is not None:
        return plan.predicted_bytes
    return summary.size_bytes


def _subtitle(summary: PersonalizeSummary) -> str:
    if not summary.clips:
        return "Made without audio"
    clips = f"{summary.clips} clip{'s' * (summary.clips != 1)}"
    length = f" of {f.duration(summary.seconds)} in all" if summary.seconds else ""
    where = f" from {summary.audio}" if summary.audio else ""
    chosen = "".join(f", {each}" for each in summary.filters)
    return f"Calibrated on {clips}{length}{where}{chosen}"


def _at_a_glance(summary: PersonalizeSummary, plan: Plan | None) -> str:
    latency = _latency_card(summary)
    is_missed = summary.latency is not None and not summary.latency.is_kept
    cards = [
        latency if is_missed else "",
        _size_card(summary, plan),
        _changes_card(summary),
        _divergence_card(summary),
        "" if is_missed else latency,
        _time_card(summary),
    ]
    notes = "".join(f"<li>{escape(warning)}</li>" for warning in summary.warnings)
    if notes:
        notes = f'<ul class="notes">{notes}</ul>'
    return f'<h2 id="glance">At a glance</h2><div class="cards">{"".join(cards)}</div>{notes}\n'


def _size_card(summary: PersonalizeSummary, plan: Plan | None) -> str:
    source, budget, size = summary.source_bytes, summary.budget_bytes, _size(summary, plan)
    if size is None:
        return card("Size of float32", f"{f.megabytes(source)} MB", [])
    lines = [f"{f.times(source / size)} smaller than float32 ({f.megabytes(source)} MB)."]
    if budget is not None:
        used = f.percent(size / budget)
        lines.append(f"The budget was {f.megabytes(budget)} MB; {used} % of it is used.")
    if summary.destination is not None:
        lines.append(f"Written to {summary.destination}.")
    kind = "Size" if summary.size_bytes is not None else "Size, predicted"
    return card(kind, f"{f.megabytes(size)} MB", lines)


def _changes_card(summary: PersonalizeSummary) -> str:
    if summary.changes is None:
        return ""
    first, *others = summary.changes.counts
    lines = [f"{each.in_words[:1].upper()}{each.in_words[1:]}." for each in (first, *others)]
    lines.append(f"Against float32, on {summary.compared_in_words}; in brackets, 95 % intervals.")
    return card("Text that changed", f"{f.percent(first.share)} % of {first.unit}", lines)


def _latency_card(summary: PersonalizeSummary) -> str:
    found = summary.latency
    if found is None:
        return ""
    kept = "It is kept." if found.is_kept else "It is NOT kept: allow more, or a larger file."
    lines = [
        f"The limit was {found.limit_ms:.3g} ms. {kept}",
        f"Predicted: {found.predicted_ms:.3g} ms; float32 takes {found.float32_ms:.3g} ms.",
        "One thread of this host, on the clip of median length.",
    ]
    return card("Latency", f"{found.measured_ms:.3g} ms", lines)


def _divergence_card(summary: PersonalizeSummary) -> str:
    measured, predicted = summary.measured_divergence, summary.predicted_divergence
    best = predicted if measured is None else measured
    if best is None:
        return ""
    lines = []
    if measured is not None:
        text = f.estimate(measured, summary.measured_interval)
        lines.append(f"Measured on {summary.compared_in_words}: {text}.")
    if predicted is not None:
        lines.append(f"Predicted: {f.estimate(predicted, summary.predicted_interval)}.")
    lines += [f"{line[0].upper()}{line[1:]}." for line in summary.parts_in_words()]
    kind = "Divergence from float32" + ("" if measured is not None else ", predicted")
    return card(kind, f"{f.significant(best)} nats per {summary.unit}", lines)


def _examples(summary: PersonalizeSummary) -> str:
    if summary.changes is None or not summary.changes.examples:
        return ""
    examples = [(each.clip, each.before, each.after) for each in summary.changes.examples]
    return (
        '<h2 id="changed">What changed</h2><p class="muted">From the clip whose text changed most '
        f"to one that changed least. {MARKS}</p>{examples_html(examples)}\n"
    )


def _time_card(summary: PersonalizeSummary) -> str:
    if not summary.steps:
        return ""
    longest = max(summary.steps, key=lambda step: step.seconds)
    line = f"The longest step: {longest.name}, {f.duration(longest.seconds)}."
    return card("Time", f.duration(summary.total_seconds), [line])


def _slices(summary: PersonalizeSummary) -> str:
    if not summary.slices:
        return ""
    tables = slices_html(summary.slices, summary.unit)
    return f'<h2 id="slices">Whose clips</h2>{tables}\n'


def _layers(plan: Plan | None, sensitivity: Sensitivity | None) -> str:
    if plan is None:
        return ""
    steps = sorted({step_of(mean_bits(row)) for row in plan.layers})
    codecs = codec_colours(row.codec for row in plan.layers)
    computes = compute_colours(row.compute for row in plan.layers)
    legends = [
        _legend("Bits", [(f"scale-{step}", bits_label(step)) for step in steps]),
        _legend(
            "Stored",
            [(f"model-{i}", f"{name}: {storage_in_words(name)}") for name, i in codecs.items()],
        ),
        _legend(
            "Computed",
            [(f"model-{i}", f"{name}: {compute_in_words(name)}") for name, i in computes.items()],
        ),
    ]
    table = layer_table(plan, sensitivity)
    in_figures = _folded(table, partial(_with_room, table.columns), open_=len(plan.layers) <= 24)
    words = structure_in_words(plan.structure)
    structure = "".join(f"<p>Layers {escape(line)}.</p>" for line in words)
    return (
        f'<h2 id="layers">What became of each layer</h2>{structure}{"".join(legends)}'
        f"{figures_html([layer_map(plan)])}{in_figures}"
    )


def _sensitivity(sensitivity: Sensitivity | None, plan: Plan | None) -> str:
    if sensitivity is None:
        return ""
    plot, table = sensitivity_plot(sensitivity, plan), sensitivity_table(sensitivity)
    if plot is None or table is None:
        return ""
    return (
        f'<h2 id="sensitivity">How much each layer matters</h2>{figures_html([plot])}'
        f"{_folded(table)}"
    )


def _front(front: Front | None, summary: PersonalizeSummary, plan: Plan | None) -> str:
    if front is None:
        return ""
    plot = front_plot(
        front,
        size_bytes=_size(summary, plan),
        divergence=summary.predicted_divergence,
        budget_bytes=summary.budget_bytes,
    )
    return (
        f'<h2 id="front">What other sizes would give</h2>{figures_html([plot])}'
        f"{_folded(front_table(front))}"
    )


def _bytes(summary: PersonalizeSummary) -> str:
    if summary.destination is None:
        return ""
    table = bytes_table(summary.destination)
    return f'<h2 id="bytes">{escape(table.title)}</h2>{table_html(table, _with_bar)}'


def _time(summary: PersonalizeSummary) -> str:
    if not summary.steps:
        return ""
    table = step_table(summary.steps)
    return f'<h2 id="time">{escape(table.title)}</h2>{table_html(table, _with_bar)}'


def _reading(summary: PersonalizeSummary) -> str:
    items = "".join(f"<li>{text.format(unit=summary.unit)}</li>" for text in _READING)
    return f'<h2 id="reading">How to read it</h2><ul class="reading">{items}</ul>\n'


def _legend(group: str, entries: Sequence[tuple[str, str]]) -> str:
    spots = "".join(f"<span>{chip(colour)}{escape(text)}</span>" for colour, text in entries)
    return f'<div class="legend here"><span class="group">{escape(group)}</span>{spots}</div>'


def _folded(table: Table, cell: Cell = text_cell, *, open_: bool = False) -> str:
    """A collapsible table; its title opens it."""
    return (
        f"<details{' open' * open_}><summary>{escape(table.title)}, in figures</summary>"
        f"{table_html(table, cell)}</details>\n"
    )


def _with_room(columns: Sequence[str], row: Sequence[str], index: int) -> str:
    """Names and reasons in elements that the style sheet wraps."""
    text = escape(row[index])
    if columns[index] == "layer":
        return f'<span class="name">{_NAME_ENDS.sub("<wbr>", text)}</span>'
    return f'<span class="why">{text}</span>' if columns[index] == "why" else text


def _with_bar(row: Sequence[str], index: int) -> str:
    """The last cell as a bar of the length of its share; purely visual."""
    if index < len(row) - 1:
        return escape(row[index])
    return (
        f'<span class="bar" aria-hidden="true"><span style="width: {100 * float(row[-1]):.2f}%">'
        "</span></span>"
    )

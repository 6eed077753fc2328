"""The page of an explanation: graphs, layers, remedies, clips and slices.

The page is self-contained: no network, no script, no other file.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from quantkit.disk.files import write_text
from quantkit.explanation.plot import layer_plot
from quantkit.explanation.result import Explanation
from quantkit.explanation.tables import (
    clip_table,
    graph_table,
    layer_table,
    remedy_table,
)
from quantkit.personalization.page_style import STYLE
from quantkit.report import formatting as f
from quantkit.report.html import card, document, figures_html, navigation_to, table_html
from quantkit.report.text_pairs import MARKS, examples_html
from quantkit.slices.page import slices_html
from quantkit.version import __version__

_EXAMPLES = 8


def write_page(path: Path, found: Explanation) -> None:
    """Write the page.

    Raises:
        OutputError: ``path`` cannot be written.
    """
    write_text(path, render_page(found))


def render_page(found: Explanation) -> str:
    """The page as HTML."""
    sections = [
        ("glance", "At a glance", _at_a_glance(found)),
        ("remedies", "What would help", table_html(remedy_table(found)) if found.remedies else ""),
        ("graphs", "Graphs", table_html(graph_table(found)) if found.graphs else ""),
        ("layers", "Layers", _layers(found)),
        ("slices", "Whose clips", slices_html(found.slices, found.unit)),
        ("clips", "Clips", _clips(found)),
    ]
    kept = [section for section in sections if section[2]]
    return document(
        title=f"quantkit: {found.quantized.name}, explained",
        heading=f"Where {found.quantized.name} loses",
        subtitle=f"Beside {found.float_model.name}, on {len(found.clips)} clips",
        navigation=navigation_to((anchor, label) for anchor, label, _ in kept),
        body="".join(
            f'<h2 id="{anchor}">{escape(label)}</h2>{body}\n' for anchor, label, body in kept
        ),
        footer=f"Made by quantkit {__version__}.",
        style=STYLE,
    )


def _at_a_glance(found: Explanation) -> str:
    changes = "" if found.changes is None else found.changes.counts[0].in_words
    worst = found.worst[0] if found.worst and found.worst[0].restored > 0.0 else None
    best = found.remedies[0] if found.remedies else None
    measured = f.estimate(found.divergence.mean, found.divergence.interval)
    cards = [
        card("Text that changed", changes, ["Beside float32, on the same clips."])
        if changes
        else "",
        card(
            "Divergence from float32",
            f"{f.significant(found.divergence.mean)} nats per {found.unit}",
            [f"On {len(found.clips)} clips: {measured}."],
        ),
        card(
            "Costs most",
            worst.name,
            [f"Given back its float32 numbers, it takes {f.significant(worst.restored)} nats off."],
        )
        if worst is not None
        else "",
        card(
            "Helps most",
            best.option,
            [f"It takes {f.significant(best.gain)} nats off, for {best.more_bytes:+,} bytes."],
        )
        if best is not None
        else "",
    ]
    notes = "".join(f"<li>{escape(each)}</li>" for each in found.warnings)
    said = f'<ul class="notes">{notes}</ul>' if notes else ""
    return f'{said}<div class="cards">{"".join(cards)}</div>'


def _layers(found: Explanation) -> str:
    if not found.layers:
        return ""
    plot = layer_plot(found)
    figures = "" if plot is None else figures_html([plot])
    return (
        f"{figures}<details><summary>All layers</summary>{table_html(layer_table(found))}</details>"
    )


def _clips(found: Explanation) -> str:
    changed = [each.texts for each in found.clips if each.texts is not None and each.words]
    examples = [(pair.clip, pair.before, pair.after) for pair in changed[:_EXAMPLES]]
    shown = f'<p class="muted">{MARKS}</p>{examples_html(examples)}' if examples else ""
    return table_html(clip_table(found)) + shown

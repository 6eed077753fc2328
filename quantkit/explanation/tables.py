"""The tables of an explanation, for the terminal and for its page."""

from __future__ import annotations

from quantkit.explanation.result import Explanation
from quantkit.explanation.words import ClipChange, WordChange
from quantkit.graph.plan import LayerPlan
from quantkit.report import formatting as f
from quantkit.report.table import Table

#: Clips that are shown; all are in the JSON.
WORST_CLIPS = 12
_WORDS = 6


def layer_table(found: Explanation, most: int | None = None) -> Table:
    """The layers, the worst first.

    Args:
        most: rows; None: all.
    """
    rows = []
    for cost in found.worst[:most]:
        row = found.row_of(cost)
        stored = "" if row is None else f"{row.codec} {row.bits:g}".replace("int8 8", "int8")
        rows.append(
            (
                cost.name,
                stored,
                "" if row is None else _computed(row),
                f.significant(cost.restored),
                f.significant(cost.alone),
                f.significant(cost.weights),
                f.significant(cost.inputs),
                "" if row is None else f"{row.bytes:,}",
            )
        )
    return Table(
        "Layers",
        ("layer", "stored", "computed", "given back", "alone", "weights", "inputs", "bytes"),
        tuple(rows),
        f"Nats per {found.unit}. Given back: what the file loses less if this layer alone is "
        "float32. Alone: what is lost if only this layer is as in the file; of that, its weights "
        "and its inputs by themselves.",
        frozenset({0, 1, 2}),
        (2, 7, 1),
    )


def _computed(row: LayerPlan) -> str:
    few = row.compute in ("static", "dynamic") and row.activation_bits < 8
    return f"{row.compute}/{row.activation_bits}" if few else row.compute


def graph_table(found: Explanation) -> Table:
    """The graphs of a model of several."""
    rows = [
        (part.role, part.file, f"{part.bytes:,}", f.estimate(part.divergence, part.interval))
        for part in sorted(found.graphs, key=lambda each: -each.divergence)
    ]
    return Table(
        "Graphs",
        ("graph", "file", "bytes", f"nats per {found.unit}"),
        tuple(rows),
        "Each graph as in the file, with all others in float32.",
        frozenset({0, 1}),
    )


def remedy_table(found: Explanation) -> Table:
    """What would help most."""
    rows = [
        (each.layer, f"--layer '{each.option}'", f.significant(each.gain), f"{each.more_bytes:+,}")
        for each in found.remedies
    ]
    return Table(
        "What would help most",
        ("layer", "option of quantize or plan", "gain", "bytes"),
        tuple(rows),
        f"Gain: nats per {found.unit} that the plan then loses less; each was tried.",
        frozenset({0, 1}),
    )


def clip_table(found: Explanation) -> Table:
    """The worst clips, and the words that differ."""
    rows = [
        (each.clip, f.significant(each.divergence), words_in_words(each))
        for each in found.clips[:WORST_CLIPS]
    ]
    return Table(
        "Worst clips",
        ("clip", f"nats per {found.unit}", "float32 → file, at seconds"),
        tuple(rows),
        f"{min(len(found.clips), WORST_CLIPS)} of {len(found.clips)} clips.",
        frozenset({0, 2}),
    )


def words_in_words(clip: ClipChange) -> str:
    """The first of the words that differ."""
    shown = [_in_words(each) for each in clip.words[:_WORDS]]
    more = len(clip.words) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _in_words(change: WordChange) -> str:
    said = f"{change.before or '–'} → {change.after or '–'}"
    return said if change.start is None else f"{said} ({change.start:.1f})"

"""The tables of the page: the data of the plots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from quantkit.graph.plan import LayerPlan, Plan
from quantkit.personalization.plots.sensitivity_plot import BITS, divergence_by_bits
from quantkit.personalization.reasons import reasons
from quantkit.personalization.size_breakdown import anatomy
from quantkit.personalization.summary import Step
from quantkit.personalization.widths import mean_bits
from quantkit.planning.pareto import Front
from quantkit.report import formatting as f
from quantkit.report.table import Table
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity


def layer_table(plan: Plan, sensitivity: Sensitivity | None) -> Table:
    """Every layer with its choice and the reason."""
    known = {} if sensitivity is None else {layer.name: layer for layer in sensitivity.layers}
    whys = reasons(sensitivity, plan)
    return Table(
        title="Layer by layer",
        columns=("no.", "layer", "bits", "why", "stored", "computed", "weights", "bytes", "moves"),
        rows=tuple(
            (
                str(position),
                row.name,
                f"{mean_bits(row):.3g}",
                why.removeprefix(f"{row.name} "),
                row.codec,
                row.compute,
                f"{math.prod(row.shape):,}",
                f"{row.bytes:,}" if row.bytes else f.MISSING,
                f.significant(_moved(row, known.get(row.name))),
            )
            for position, (row, why) in enumerate(zip(plan.layers, whys, strict=True), 1)
        ),
        caption=(
            "Stored and computed: see above. Bytes: weights, scales, tables and bias. Moves: how "
            "far this layer's weights alone move the output, in nats, where measured."
        ),
        text_columns=frozenset({1, 3, 4, 5}),
    )


def sensitivity_table(sensitivity: Sensitivity) -> Table | None:
    """Divergence by layer and bits; None if none is known."""
    curves = {layer.name: divergence_by_bits(layer) for layer in sensitivity.layers}
    if not any(curves.values()):
        return None
    return Table(
        title="How much each layer matters",
        columns=("layer", "weights", *(f"{bits} bits" for bits in BITS)),
        rows=tuple(
            (
                layer.name,
                f"{math.prod(layer.shape):,}",
                *(f.significant(curves[layer.name].get(bits)) for bits in BITS),
            )
            for layer in sensitivity.layers
        ),
        caption="Divergence of the output in nats, of the best codec with these bits.",
    )


def front_table(front: Front) -> Table:
    """Every point of the front."""
    timed = any(point.milliseconds is not None for point in front.points)
    return Table(
        title="What other sizes would give",
        columns=("MB", "divergence", *(("ms",) if timed else ())),
        rows=tuple(
            (
                f.megabytes(point.size_bytes),
                f.significant(point.divergence),
                *((f.decimal(point.milliseconds),) if timed else ()),
            )
            for point in front.points
        ),
        caption="Divergence as predicted, in nats.",
    )


def bytes_table(artifact: Path) -> Table:
    """Size breakdown of the file; the last column is the share, 0 to 1."""
    parts = anatomy(artifact)
    total = max(1, sum(part.bytes for part in parts))
    return Table(
        title="Where the bytes went",
        columns=("part", "what it is", "bytes", "%", "share"),
        rows=tuple(
            (
                part.kind,
                part.meaning,
                f"{part.bytes:,}",
                f.percent(part.bytes / total),
                str(part.bytes / total),
            )
            for part in parts
        ),
        caption=f"{total:,} bytes in all.",
        text_columns=frozenset({0, 1, 4}),
    )


def step_table(steps: Sequence[Step]) -> Table:
    """Duration of each step; the last column is its share, 0 to 1."""
    total = max(1e-9, sum(step.seconds for step in steps))
    return Table(
        title="What took how long",
        columns=("step", "seconds", "share"),
        rows=tuple((s.name, f.significant(s.seconds), str(s.seconds / total)) for s in steps),
        caption=f"{f.duration(total)} in all.",
        text_columns=frozenset({0, 2}),
    )


def _moved(row: LayerPlan, layer: LayerSensitivity | None) -> float | None:
    if layer is None:
        return None
    for each in layer.weights:
        codec = each.codec
        if (codec.name, codec.bits, codec.options) == (row.codec, row.bits, row.options):
            return each.divergence
    return 0.0 if row.codec == "float32" else None

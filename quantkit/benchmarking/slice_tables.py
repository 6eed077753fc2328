"""The tables of a bench report's slices."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.benchmarking.schema import BenchReport, SliceResult
from quantkit.report import formatting as f
from quantkit.report.table import Table
from quantkit.slices.errors import TextErrors
from quantkit.slices.tables import shown_name, with_star

_FEWEST_TO_COMPARE = 2


def slice_tables(report: BenchReport) -> list[Table]:
    """An overview of the models side by side, and every count; none where nothing was divided."""
    if not report.slices:
        return []
    return [_overview(report), _counts(report)]


def _overview(report: BenchReport) -> Table:
    """Error rates, or without transcripts what the texts of the others change."""
    models = [model.name for model in report.models]
    labelled = any(each.labelled for each in report.slices)
    shown = models if labelled else models[1:]
    rows = []
    for one in _by_slice(report):
        first = one[0]
        cells = [_share(each.errors if labelled else each.changed) for each in one]
        name = shown_name(first.name, few=first.is_small)
        rows.append((name, str(first.clips), *(cells if labelled else cells[1:])))
    unit = _unit([each.errors if labelled else each.changed for each in report.slices])
    what = (
        f"{unit} wrong, %"
        if labelled
        else f"{unit} that are not those of {models[0]}, % of all it writes"
    )
    return Table(
        "Whose clips",
        ("clips", "count", *shown),
        tuple(rows),
        with_star(f"{what[0].upper()}{what[1:]}.", [each.is_small for each in report.slices]),
    )


def _counts(report: BenchReport) -> Table:
    labelled = any(each.labelled for each in report.slices)
    compared = len(report.models) >= _FEWEST_TO_COMPARE
    counted = [each for each in report.slices if labelled or each.changed is not None]
    header = ["clips", "model", "wrong, %", "95 %"] if labelled else ["clips", "model"]
    header += ["ins", "del", "sub", f"{report.counted.rate} %", "rare %", "first %", "last %"]
    header += ["changed, %", "nats"] if compared else []
    rows = []
    for each in counted:
        errors = each.errors if labelled else each.changed
        row = [shown_name(each.name, few=each.is_small), each.model]
        row += [_share(errors), f.percent_interval(each.interval)] if labelled else []
        row += _cells(errors)
        row += [_share(each.changed), f.significant(each.divergence)] if compared else []
        rows.append(tuple(row))
    against = "transcripts" if labelled else f"the texts of {report.models[0].name}"
    caption = (
        f"Against {against}. ins, del, sub: words inserted, deleted, replaced. rare, first, last: "
        "of the rare words, and of the first and last word of each clip, those that are wrong."
    )
    if compared:
        caption += (
            f" Changed: words, or what else texts are counted in, that are not those of "
            f"{report.models[0].name}; nats: divergence of the probabilities from its own, per "
            "frame."
        )
    columns = tuple(header)
    least = [columns.index(name) for name in ("95 %", "ins", "del", "sub") if name in columns]
    return Table(
        "Whose clips, in full",
        columns,
        tuple(rows),
        with_star(caption, [each.is_small for each in counted]),
        text_columns=frozenset({0, 1}),
        optional=tuple(least),
        model_column=1,
        folded=True,
    )


def _by_slice(report: BenchReport) -> list[Sequence[SliceResult]]:
    count = len(report.models)
    return [report.slices[at : at + count] for at in range(0, len(report.slices), count)]


def _unit(errors: Sequence[TextErrors | None]) -> str:
    return next((each.main[0] for each in errors if each is not None), "words")


def _share(errors: TextErrors | None) -> str:
    if errors is None:
        return f.MISSING
    counts = errors.main[1]
    return f.percent(counts.rate if counts.reference_length else None)


def _cells(errors: TextErrors | None) -> list[str]:
    if errors is None:
        return [f.MISSING] * 7
    counts = errors.main[1]
    rate = errors.units.rate if errors.units.reference_length else None
    return [
        str(counts.insertions),
        str(counts.deletions),
        str(counts.substitutions),
        f.percent(rate),
        *(f.percent(part.share) for part in (errors.rare, errors.first, errors.last)),
    ]

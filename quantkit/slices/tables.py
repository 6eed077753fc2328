"""The tables of slices on which a file was compared with float32."""

from __future__ import annotations

from collections.abc import Sequence

from quantkit.report import formatting as f
from quantkit.report.table import Table
from quantkit.slices.compared import Slice
from quantkit.slices.errors import Part, TextErrors
from quantkit.slices.grouping import FEW_CLIPS

_FEW = f"* fewer than {FEW_CLIPS} clips: they say little."


def slice_tables(slices: Sequence[Slice], unit: str) -> list[Table]:
    """What is lost on all clips and on some of them, and in which of their words.

    Args:
        unit: that divergences are per.
    """
    tables = [_main_table(slices, unit)]
    if any(each.changed is not None and each.changed.words is not None for each in slices):
        tables.append(_word_table(slices))
    return tables


def shown_name(name: str, *, few: bool) -> str:
    """With a star where there are few clips."""
    return f"{name} *" if few else name


def with_star(caption: str, few: Sequence[bool]) -> str:
    """A caption that explains the star, where there is one."""
    return f"{caption} {_FEW}" if any(few) else caption


def _main_table(slices: Sequence[Slice], unit: str) -> Table:
    counted = next((each.file.main[0] for each in slices if each.file is not None), None)
    header = ["clips", "count", f"nats per {unit}", "changed, %"]
    if counted is not None:
        header += [f"{counted} wrong, float32, %", f"{counted} wrong, file, %"]
    rows = []
    for each in slices:
        row = [
            shown_name(each.name, few=each.is_small),
            str(each.clips),
            f.estimate(each.divergence.mean, each.divergence.interval),
            f.percent(each.changed_share),
        ]
        if counted is not None:
            row += [_rate(each.float32), _rate(each.file)]
        rows.append(tuple(row))
    caption = "Changed: words, or what else texts are counted in, that are not float32's."
    return Table(
        "Whose clips",
        tuple(header),
        tuple(rows),
        with_star(caption, [each.is_small for each in slices]),
    )


def _word_table(slices: Sequence[Slice]) -> Table:
    labelled = any(each.file is not None for each in slices)
    rows = []
    for each in slices:
        before, after = (each.float32, each.file) if labelled else (None, each.changed)
        rows.append((shown_name(each.name, few=each.is_small), *_word_cells(before, after)))
    what = (
        "Of float32's errors → of the file's, against transcripts."
        if labelled
        else "Of float32's texts, what the file writes otherwise."
    )
    return Table(
        "Which words",
        (
            "clips",
            "inserted",
            "deleted",
            "replaced",
            "letters, %",
            "rare words, %",
            "first words, %",
            "last words, %",
        ),
        tuple(rows),
        f"{what} Inserted, deleted and replaced: words. A rare word is wrong if it is missing or "
        "replaced; a first or last one, too, if something is inserted in front of or behind it.",
    )


def _word_cells(before: TextErrors | None, after: TextErrors | None) -> list[str]:
    if after is None or after.words is None:
        return [f.MISSING] * 7
    own = [
        str(after.words.insertions),
        str(after.words.deletions),
        str(after.words.substitutions),
        f.percent(after.units.rate if after.units.reference_length else None),
        *(f.percent(part.share) for part in _parts(after)),
    ]
    if before is None or before.words is None:
        return own
    return [
        f"{a} → {b}" if a != b else b for a, b in zip(_word_cells(None, before), own, strict=True)
    ]


def _parts(errors: TextErrors) -> tuple[Part, Part, Part]:
    return errors.rare, errors.first, errors.last


def _rate(errors: TextErrors | None) -> str:
    if errors is None:
        return ""
    counts = errors.main[1]
    return f.percent(counts.rate if counts.reference_length else None)

"""Slices on a page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from quantkit.report.html import table_html
from quantkit.slices.compared import Slice
from quantkit.slices.tables import slice_tables


def slices_html(slices: Sequence[Slice], unit: str) -> str:
    """The tables of slices, for a page that has a heading for the first of them.

    Args:
        unit: that divergences are per.
    """
    first, *others = slice_tables(slices, unit)
    further = "".join(f"<h3>{escape(each.title)}</h3>{table_html(each)}" for each in others)
    return table_html(first) + further

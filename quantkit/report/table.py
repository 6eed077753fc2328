"""Tables for people: built once, then printed in a terminal, in Markdown or on a page."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """Text in rows; the first column names the row, the others are numbers unless listed.

    Args:
        optional: columns that a narrow terminal leaves out, the first one first.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    text_columns: frozenset[int] = frozenset({0})
    optional: tuple[int, ...] = ()


def to_rich(table: Table, console: Console) -> RichTable:
    """The table for a terminal, without as many optional columns as it takes to fit."""
    for count in range(len(table.optional) + 1):
        rich = _rich_without(table, frozenset(table.optional[:count]))
        if rich.__rich_measure__(console, console.options.update(max_width=10_000)).maximum <= (
            console.width
        ):
            break
    return rich


def _rich_without(table: Table, dropped: frozenset[int]) -> RichTable:
    rich = RichTable(
        title=table.title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    kept = [i for i in range(len(table.columns)) if i not in dropped]
    for i in kept:
        rich.add_column(
            table.columns[i], justify="left" if i in table.text_columns else "right", no_wrap=True
        )
    for row in table.rows:
        rich.add_row(*(escape(row[i]) for i in kept))
    return rich


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown, with its title and caption."""
    marks = [":--" if i in table.text_columns else "--:" for i in range(len(table.columns))]
    lines = [f"## {table.title}", ""]
    lines += [_line(table.columns), _line(marks), *(_line(row) for row in table.rows)]
    return "\n".join([*lines, "", table.caption, ""])


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

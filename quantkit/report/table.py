"""Tables for people: built once, then printed in a terminal, in Markdown or on a page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Text in rows; the first column names the row, the others are numbers unless listed.

    Args:
        optional: columns that a narrow terminal leaves out, the first one first.
        model_column: that names models, which a page shows in their colours.
        folded: whether a page shows it only when it is asked to.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    text_columns: frozenset[int] = frozenset({0})
    optional: tuple[int, ...] = ()
    model_column: int = 0
    folded: bool = False


def to_markdown(table: Table) -> str:
    """The table in GitHub's Markdown, with its title and caption."""
    marks = [":--" if i in table.text_columns else "--:" for i in range(len(table.columns))]
    lines = [f"## {table.title}", ""]
    lines += [_line(table.columns), _line(marks), *(_line(row) for row in table.rows)]
    return "\n".join([*lines, "", table.caption, ""])


def _line(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

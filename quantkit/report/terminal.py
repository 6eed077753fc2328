"""Tables for a terminal: what does not fit is left out by the column, never cut."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from quantkit.printable import printable
from quantkit.report.table import Table as ReportTable

# Wider than any table.
_UNLIMITED = 10_000

#: A cell: text that is shown as it is, or with a style of its own.
Cell = str | Text


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        title: its heading.
        justify: ``right`` for numbers.
        importance: columns of lower importance are left out first; None: it is never left out.
    """

    title: str
    justify: Literal["left", "right"] = "left"
    importance: int | None = None


def terminal_console() -> Console:
    """Standard output, as wide as the terminal or ``$COLUMNS``; else as wide as lines need."""
    console = Console()
    if console.is_terminal or os.environ.get("COLUMNS", "").isdigit():
        return console
    return Console(width=_UNLIMITED)


def print_table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[Cell]],
    *,
    title: str = "",
    caption: str = "",
    console: Console | None = None,
) -> None:
    """Print a table without the least important columns that do not fit, and say which those are.

    Columns that must stay are shown whole; where they are wider than the terminal, its lines wrap.

    Args:
        rows: a cell per column.
        title: above the table.
        caption: below it.
        console: None: :func:`terminal_console`.
    """
    console = terminal_console() if console is None else console
    lines = [tuple(row) for row in rows]
    droppable = [
        i
        for i, column in sorted(enumerate(columns), key=lambda each: each[1].importance or 0)
        if column.importance is not None
    ]
    for count in range(len(droppable) + 1):
        dropped = frozenset(droppable[:count])
        table = _table(columns, lines, dropped)
        needed = _width(table, console)
        if needed <= console.width:
            break
    plain = {"soft_wrap": True, "markup": False, "highlight": False}
    if title:
        console.print(Text(printable(title), style="bold"), soft_wrap=True, highlight=False)
    if needed > console.width:
        console = Console(file=console.file, width=needed, color_system=None)
    console.print(table, crop=False, highlight=False)
    if caption:
        console.print(printable(caption), **plain)  # type: ignore[arg-type]
    if dropped:
        names = ", ".join(dict.fromkeys(columns[i].title for i in sorted(dropped)))
        print(f"left out at this width: {names}", file=sys.stderr)


def print_report_table(table: ReportTable, console: Console) -> None:
    """Print a table of a report: without its optional columns first, then from the right.

    The first two columns, the name and the figure beside it, always stay.
    """
    order = [*table.optional, *reversed(range(2, len(table.columns)))]
    columns = [
        Column(
            title,
            "left" if i in table.text_columns else "right",
            importance=order.index(i) if i in order else None,
        )
        for i, title in enumerate(table.columns)
    ]
    print_table(columns, table.rows, title=table.title, console=console)


def _table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], dropped: frozenset[int]
) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    kept = [i for i in range(len(columns)) if i not in dropped]
    for i in kept:
        table.add_column(columns[i].title, justify=columns[i].justify, no_wrap=True)
    for row in rows:
        table.add_row(
            *(
                Text(printable(cell)) if isinstance(cell, str) else cell
                for cell in (row[i] for i in kept)
            )
        )
    return table


def _width(table: Table, console: Console) -> int:
    options = console.options.update(max_width=_UNLIMITED)
    return table.__rich_measure__(console, options).maximum

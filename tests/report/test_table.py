"""One table in a terminal and in Markdown."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from quantkit.report.table import Table, to_markdown
from quantkit.report.terminal import print_report_table

TABLE = Table(
    title="What it costs",
    columns=("model", "MB", "load ms", "p50 ms"),
    rows=(("float32", "94.5", "210", "107"), ("int8|static", "23.7", "95.0", "28.0")),
    caption="One thread.",
    optional=(2, 1),
)


def printed(table: Table, width: int) -> str:
    stream = StringIO()
    console = Console(file=stream, width=width)
    print_report_table(table, console)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (80, ["model", "MB", "load ms", "p50 ms"]),
        (30, ["model", "MB", "p50 ms"]),
        (22, ["model", "p50 ms"]),
    ],
)
def test_a_narrow_terminal_leaves_out_optional_columns_in_their_order(width, columns) -> None:
    text = printed(TABLE, width)
    shown = [name for name in TABLE.columns if name in text]
    assert shown == columns
    assert "int8|static" in text
    assert max(map(len, text.splitlines())) <= width


def test_markup_in_a_cell_stays_text() -> None:
    assert "[bold]" in printed(Table("", ("name",), (("[bold]",),)), 40)


def test_markdown_aligns_numbers_right_and_escapes_what_would_end_a_cell() -> None:
    assert to_markdown(TABLE).splitlines() == [
        "## What it costs",
        "",
        "| model | MB | load ms | p50 ms |",
        "| :-- | --: | --: | --: |",
        "| float32 | 94.5 | 210 | 107 |",
        "| int8\\|static | 23.7 | 95.0 | 28.0 |",
        "",
        "One thread.",
    ]

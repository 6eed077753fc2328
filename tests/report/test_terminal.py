"""Tables in terminals: columns are left out, names never cut."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console
from rich.text import Text

from quantkit.report.terminal import Column, print_table, terminal_console

NAME = "encoder.layers.11.feed_forward.output_dense"
COLUMNS = (
    Column("layer"),
    Column("operator", importance=0),
    Column("shape", importance=2),
    Column("kernel", importance=1),
    Column("bits", "right"),
)
ROWS = [(NAME, "MatMul", "768 × 3072", "MatMulInteger", "8")]


def printed(width: int) -> str:
    stream = StringIO()
    print_table(COLUMNS, ROWS, console=Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (120, set()),
        (84, {"operator"}),
        (70, {"operator", "kernel"}),
        (52, {"operator", "kernel", "shape"}),
    ],
)
def test_the_least_important_columns_go_first(
    width: int, left_out: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(width)
    assert {column.title for column in COLUMNS if column.title not in text} == left_out
    assert max(map(len, text.splitlines())) <= width
    said = capsys.readouterr().err
    assert all(name in said for name in left_out)
    assert bool(said) == bool(left_out)


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_names_are_whole_at_any_width(width: int) -> None:
    text = printed(width)
    assert NAME in text
    assert "…" not in text


def test_a_cell_may_have_a_style_and_text_is_no_markup() -> None:
    stream = StringIO()
    print_table(
        [Column("a"), Column("b")],
        [("[bold]", Text("failed", style="red"))],
        title="[x] title",
        console=Console(file=stream, width=80),
    )
    assert "[bold]" in stream.getvalue()
    assert "[x] title" in stream.getvalue()
    assert "failed" in stream.getvalue()


def test_a_file_gets_everything_unless_columns_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_console().width > 1_000
    monkeypatch.setenv("COLUMNS", "60")
    assert terminal_console().width == 60

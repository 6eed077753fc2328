"""The README's picture shows the table that the study printed."""

from __future__ import annotations

import click
import pytest

from benchmarks.front_picture import LINES, draw, points
from benchmarks.results import RESULTS

TABLE = """<!-- begin plan-methods -->
| method | 2 bits | 3.5 bits |
|---|---:|---:|
| uniform | +6.0% [+5.1%, +6.9%] | -0.1% [-0.4%, +0.2%] |
<!-- end plan-methods -->
"""


def test_a_row_becomes_points() -> None:
    assert points(TABLE, "uniform") == [
        (pytest.approx(1.4), 6.0, 5.1, 6.9),
        (pytest.approx(2.45), -0.1, -0.4, 0.2),
    ]


def test_a_missing_table_is_said() -> None:
    with pytest.raises(click.ClickException, match="run that study first"):
        points("", "uniform")


def test_every_line_of_the_picture_is_in_the_results(tmp_path) -> None:
    text = RESULTS.read_text(encoding="utf-8")
    lines = [(name, points(text, row)) for row, name in LINES.items()]
    draw(lines, tmp_path / "picture.svg")
    drawn = (tmp_path / "picture.svg").read_text()
    assert all(name in drawn for name in LINES.values())

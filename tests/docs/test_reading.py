"""The page of all that is read names, for each row, a test that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "reading.md").read_text(encoding="utf-8")


def references() -> Iterator[tuple[Path, list[str]]]:
    """File and names of each test; an ellipsis stands for the file before."""
    file = ""
    for place in re.findall(r"`((?:tests/|…)[^`]+)`", PAGE):
        name, _, rest = place.partition("::")
        file = file if name == "…" else name
        yield REPOSITORY / file, rest.split("::") if rest else []


def test_every_test_that_is_named_is_there() -> None:
    found = list(references())
    assert len(found) > 100
    for file, names in found:
        code = file.read_text(encoding="utf-8")
        for name in names:
            assert re.search(rf"(def|class) {re.escape(name)}\b", code), f"{file} has no {name}"


def test_every_row_says_what_is_done_and_where_that_is_proven() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == 3, row
        assert all(cells), row

"""What other people call things does nothing to a terminal."""

from __future__ import annotations

import pytest

from quantkit.report.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("encoder.layers.3", "encoder.layers.3"),
        ("größer – 層 हिन्दी", "größer – 層 हिन्दी"),
        ("x[/red]", "x[/red]"),
        ("a\x1b[2J\x1b[31mPWNED", r"a\x1b[2J\x1b[31mPWNED"),
        ("two\nlines\r\x00", r"two\nlines\r\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("layer\u202egnihton", r"layer\u202egnihton"),
        ("line\u2028end", r"line\u2028end"),
        ("half \ud83d", r"half \ud83d"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_it_is_one_line_that_can_be_seen(text: str, shown: str) -> None:
    assert printable(text) == shown

"""Messages stay readable, whatever the names in them are."""

from __future__ import annotations

import pytest

from quantkit.errors import FormatError, OutputError, QuantkitError, UnusableClipError


@pytest.mark.parametrize("kind", [QuantkitError, FormatError, OutputError])
def test_a_long_message_loses_its_middle(kind: type[QuantkitError]) -> None:
    message = str(kind(f"plan.json: layer {'x' * 10_000} stands in the plan twice"))
    assert len(message) < 1_100
    assert message.startswith("plan.json: layer xxx")
    assert message.endswith("xxx stands in the plan twice")


def test_what_a_terminal_would_obey_becomes_an_escape() -> None:
    assert str(FormatError("unknown setting \x1b[31m")) == "unknown setting \\x1b[31m"
    assert str(FormatError("one\ntwo")) == "one\ntwo"


def test_other_messages_stay_as_they_are() -> None:
    assert str(UnusableClipError("it fails on a clip", "a.wav")) == "it fails on a clip"
    assert str(OutputError("x" * 1_000)) == "x" * 1_000

"""Reading a JSON object field by field."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from quantkit.errors import FormatError
from quantkit.json_fields import Fields, Range, parse_json, shown

CONTENT: dict[str, Any] = {
    "name": "first",
    "measured": False,
    "bits": 3,
    "share": 0.5,
    "compute": "static",
    "shape": [8, 2],
    "interval": [1, 2.5],
    "nothing": None,
    "metrics": {"mean": 1, "median": 0.5},
    "endless": math.inf,
    "rows": [{"id": "a"}, {"id": 3}],
}
FOUND = Fields(CONTENT, "x.json")


def test_values_come_in_the_type_that_was_asked_for() -> None:
    assert FOUND.text("name") == "first"
    assert FOUND.flag("measured") is False
    assert FOUND.whole("bits") == 3
    assert FOUND.number("share") == 0.5
    assert type(FOUND.number("bits")) is float
    assert FOUND.choice("compute", ("float32", "static")) == "static"
    assert FOUND.wholes("shape") == (8, 2)
    assert FOUND.interval("interval") == (1.0, 2.5)
    assert FOUND.numbers("metrics") == {"mean": 1.0, "median": 0.5}
    assert FOUND.table("metrics") == {"mean": 1, "median": 0.5}
    assert FOUND.number("endless", finite=False) == math.inf


def test_what_is_null_is_missing() -> None:
    assert not FOUND.has("nothing")
    assert FOUND.text("nothing", default="–") == "–"
    assert FOUND.flag("nothing", default=True)
    assert FOUND.whole("nothing", default=8) == 8
    assert FOUND.number("nothing", default=0.5) == 0.5
    assert FOUND.table("nothing", default={}) == {}
    assert FOUND.interval("nothing") is None


@pytest.mark.parametrize(
    ("read", "complaint"),
    [
        (lambda found: found.value("nothing"), "x.json: nothing is missing"),
        (lambda found: found.text("colour"), "x.json: colour is missing"),
        (lambda found: found.text("bits"), "x.json: bits must be a string, not 3"),
        (lambda found: found.flag("bits"), "x.json: bits must be true or false, not 3"),
        (lambda found: found.whole("share"), "x.json: share must be a whole number, not 0.5"),
        (lambda found: found.whole("measured"), "measured must be a whole number, not False"),
        (lambda found: found.whole("bits", limits=Range(4)), "bits must be at least 4, not 3"),
        (lambda found: found.number("name"), "x.json: name must be a number, not 'first'"),
        (lambda found: found.number("measured"), "measured must be a number, not False"),
        (lambda found: found.number("endless"), "x.json: endless must be a number, not inf"),
        (lambda found: found.number("share", limits=Range(0, above=True, high=0.4)), "at most 0.4"),
        (lambda found: found.choice("compute", ("int8",)), "must be one of int8, not 'static'"),
        (lambda found: found.choice("measured", (0, 1)), "must be one of 0, 1, not False"),
        (lambda found: found.wholes("interval"), "x.json: interval[1] must be a whole number"),
        (lambda found: found.items("metrics"), "x.json: metrics must be a list, not {"),
        (lambda found: found.interval("rows", None), "x.json: rows must be a number, not {"),
        (lambda found: found.interval("shape"), "x.json: shape ends before it begins"),
        (lambda found: found.child("shape"), "shape must be a table of named values, not [8, 2]"),
        (lambda found: found.children("shape"), "x.json: shape[0] must be a table of named values"),
        (lambda found: found.children("rows")[1].text("id"), "x.json: rows[1]: id must be a str"),
        (lambda found: found.child("metrics").text("mean"), "x.json: metrics: mean must be a str"),
        (lambda found: found.only(("name", "bits")), "x.json: unknown field 'compute'"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    read: Callable[[Fields], object], complaint: str
) -> None:
    with pytest.raises(FormatError) as caught:
        read(FOUND)
    assert complaint in str(caught.value)


def test_what_is_no_object_has_no_fields() -> None:
    with pytest.raises(FormatError, match=r"x\.json must be a table of named values, not \[\]"):
        Fields([], "x.json")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "x.json is not JSON"),
        ("[1e999]", "1e999 is beyond the range of numbers"),
        ("[-1e999]", "-1e999 is beyond the range of numbers"),
        ("9" * 5000, "a number of 5,000 digits is beyond the range of numbers"),
        ("[NaN]", "it has no number NaN"),
        ("[-Infinity]", "it has no number -Infinity"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ("[" * 200 + "]" * 200, "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested too deeply"),
        (b"\xff\xfe\xfd", "x.json is not JSON"),
    ],
)
def test_documents_that_no_program_counts_with_are_refused(
    text: str | bytes, complaint: str
) -> None:
    with pytest.raises(FormatError, match=complaint):
        parse_json(text, "x.json")


def test_documents_are_read_in_every_encoding_of_unicode() -> None:
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        assert parse_json('{"é": 1}'.encode(encoding), "x.json") == {"é": 1}


def test_a_whole_number_has_64_bits() -> None:
    assert Fields({"seed": 2**63 - 1}, "x.json").whole("seed") == 2**63 - 1
    with pytest.raises(FormatError, match="seed is beyond the range of whole numbers"):
        Fields({"seed": 2**63}, "x.json").whole("seed")


def test_messages_stay_short_whatever_the_file_holds() -> None:
    assert shown([1, 2]) == "[1, 2]"
    assert shown([0] * 1_000_000) == "a list of 1000000 values"
    assert len(shown("x" * 1_000_000)) < 100

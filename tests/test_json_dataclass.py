from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from quantkit.errors import InputError
from quantkit.json_dataclass import build, build_list
from quantkit.json_fields import Range


@dataclass(frozen=True)
class _Settings:
    count: int
    share: float = 0.5
    flag: bool = False
    name: str = ""
    unit: Literal["clip", "speaker"] = "clip"
    words: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)


_RANGES = {
    "count": Range(1),
    "share": Range(0, 1, below=True),
    "weights": Range(0, above=True),
    "sizes": Range(1),
}


def _build(**table: Any) -> _Settings:
    return build(_Settings, table, "file [table]", _RANGES)


def test_values_arrive_in_their_fields_types() -> None:
    settings = _build(count=3, share=0, words=["a"], weights={"a": 2}, unit="speaker", sizes=[4, 2])
    assert settings == _Settings(
        3, 0.0, words=("a",), weights={"a": 2.0}, unit="speaker", sizes=(4, 2)
    )
    assert type(settings.share) is float


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({}, "count is missing"),
        ({"count": "3"}, "count must be a whole number, not '3'"),
        ({"count": 3.0}, "count must be a whole number, not 3.0"),
        ({"count": True}, "count must be a whole number, not True"),
        ({"count": 0}, "count must be at least 1, not 0"),
        ({"share": "x"}, "share must be a number, not 'x'"),
        ({"share": float("nan")}, "share must be a number, not nan"),
        ({"share": 1}, "share must be at least 0 and below 1, not 1"),
        ({"flag": 1}, "flag must be true or false, not 1"),
        ({"name": 1}, "name must be a string, not 1"),
        ({"unit": 1}, "unit must be one of clip, speaker, not 1"),
        ({"unit": ["clip"]}, "unit must be one of"),
        ({"words": "ab"}, "words must be a list, not 'ab'"),
        ({"words": ["a", 1]}, "words[1] must be a string, not 1"),
        ({"sizes": 4}, "sizes must be a list, not 4"),
        ({"sizes": [4, 0.5]}, "sizes[1] must be a whole number, not 0.5"),
        ({"sizes": [0]}, "sizes[0] must be at least 1, not 0"),
        ({"weights": 3}, "weights must be a table, not 3"),
        ({"weights": {"a": "x"}}, "weights.a must be a number, not 'x'"),
        ({"weights": {"a": 0}}, "weights.a must be above 0, not 0"),
        ({"weights": {"a": 10**400}}, "weights.a is beyond"),
        ({"colour": 1}, "unknown setting colour"),
    ],
)
def test_what_does_not_fit_is_named_with_its_table(table: dict[str, Any], complaint: str) -> None:
    content = table if "count" in table or not table else {"count": 1, **table}
    with pytest.raises(InputError) as caught:
        _build(**content)
    assert str(caught.value).startswith("file [table]: ")
    assert complaint in str(caught.value)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InputError, match="must be a table of named values, not 3"):
        build(_Settings, 3, "file [table]", _RANGES)


def test_a_list_of_tables_numbers_them_in_messages() -> None:
    built = build_list(_Settings, [{"count": 1}, {"count": 2}], "step", "file", _RANGES)
    assert [settings.count for settings in built] == [1, 2]
    with pytest.raises(InputError, match=r"file, \[\[step\]\] 2: count must be at least 1"):
        build_list(_Settings, [{"count": 1}, {"count": 0}], "step", "file", _RANGES)
    with pytest.raises(InputError, match=r"file: step must be a list of tables, \[\[step\]\]"):
        build_list(_Settings, {"count": 1}, "step", "file", _RANGES)


@dataclass(frozen=True)
class _Point:
    x: float
    y: float | None = None


@dataclass(frozen=True)
class _Picture:
    points: tuple[_Point, ...]
    size: tuple[int, int]
    centre: _Point | None = None


def test_dataclasses_lists_and_what_may_be_null_nest() -> None:
    table = {"points": [{"x": 1, "y": None}, {"x": 2.5, "y": 3}], "size": [4, 3]}
    picture = build(_Picture, table, "picture.json")
    assert picture == _Picture((_Point(1.0), _Point(2.5, 3.0)), (4, 3))
    assert build(_Picture, {"points": (), "size": [4, 3], "centre": _Point(0.0)}, "").centre


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ({"points": [{"x": "a"}], "size": [1, 1]}, "p.json: points[0]: x must be a number"),
        ({"points": [3], "size": [1, 1]}, "p.json: points[0] must be a table"),
        ({"points": [], "size": [1]}, "p.json: size must hold 2 values, not 1"),
        ({"points": [], "size": [1, 1], "centre": {}}, "p.json: centre: x is missing"),
    ],
)
def test_a_place_deep_inside_is_named(table: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError) as caught:
        build(_Picture, table, "p.json")
    assert complaint in str(caught.value)


def test_a_range_for_all_numbers_that_have_none_of_their_own() -> None:
    table = {"points": [{"x": -1, "y": 2}], "size": [1, 1]}
    with pytest.raises(InputError, match=r"p\.json: points\[0\]: x must be at least 0, not -1"):
        build(_Picture, table, "p.json", others=Range(0))
    assert build(_Picture, table, "p.json", {"x": Range(-2)}, others=Range(0)).points[0].x == -1
    table = {"points": [], "size": [1, -1]}
    with pytest.raises(InputError, match=r"p\.json: size\[1\] must be at least 0"):
        build(_Picture, table, "p.json", {"x": Range(-2)}, others=Range(0))


def test_unknown_fields_are_ignored_where_a_file_may_hold_more() -> None:
    table = {"x": 1, "colour": "red"}
    assert build(_Point, table, "p.json", ignore_unknown=True) == _Point(1.0)

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from quantkit.errors import InputError
from quantkit.training.tables import Range, build, build_list


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
        ({"words": "ab"}, "words must be a list of strings, not 'ab'"),
        ({"words": [1]}, "words must be a list of strings"),
        ({"sizes": 4}, "sizes must be a list of whole numbers, not 4"),
        ({"sizes": [4, 0.5]}, "sizes must be a whole number, not 0.5"),
        ({"sizes": [0]}, "sizes must be at least 1, not 0"),
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
    with pytest.raises(InputError, match="must be a table of settings, not 3"):
        build(_Settings, 3, "file [table]", _RANGES)


def test_a_list_of_tables_numbers_them_in_messages() -> None:
    built = build_list(_Settings, [{"count": 1}, {"count": 2}], "step", "file", _RANGES)
    assert [settings.count for settings in built] == [1, 2]
    with pytest.raises(InputError, match=r"file, \[\[step\]\] 2: count must be at least 1"):
        build_list(_Settings, [{"count": 1}, {"count": 0}], "step", "file", _RANGES)
    with pytest.raises(InputError, match=r"file: step must be a list of tables, \[\[step\]\]"):
        build_list(_Settings, {"count": 1}, "step", "file", _RANGES)

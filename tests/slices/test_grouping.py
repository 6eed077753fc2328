"""Clips in groups by names, numbers and bounds."""

from __future__ import annotations

from quantkit.slices.by import By, parse_by
from quantkit.slices.grouping import groups_of
from quantkit.slices.properties import ClipProperties

CLIPS = [
    ClipProperties(f"{i}", {"accent": "us" if i % 2 else "uk", "age": str(20 + i)}, {"length": i})
    for i in range(12)
]


def sizes(by: str) -> dict[str, int]:
    return {group.name: len(group.clips) for group in groups_of(CLIPS, parse_by(by))}


def test_names_make_a_group_each() -> None:
    assert sizes("accent") == {"accent: uk": 6, "accent: us": 6}


def test_numbers_are_divided_at_bounds_and_a_bound_belongs_to_what_is_above() -> None:
    assert sizes("length:4/10") == {
        "length: below 4 s": 4,
        "length: 4 to 10 s": 6,
        "length: from 10 s": 2,
    }


def test_without_bounds_they_are_divided_in_thirds() -> None:
    assert list(sizes("length").values()) == [4, 4, 4]


def test_a_column_of_many_numbers_is_one_of_numbers() -> None:
    assert list(sizes("age")) == ["age: below 24.0", "age: 24.0 to 28.0", "age: from 28.0"]
    assert list(sizes("age:30")) == ["age: below 30", "age: from 30"]


def test_a_clip_of_which_nothing_is_known_is_in_no_group() -> None:
    (group,) = groups_of([*CLIPS[:1], ClipProperties("x")], [By("accent")])
    assert group.clips == ("0",)


def test_words_divide_no_clips() -> None:
    assert not groups_of(CLIPS, parse_by("words"))

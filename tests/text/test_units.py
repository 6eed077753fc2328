"""What an edit distance counts, as reports name it."""

from __future__ import annotations

from quantkit.text.units import CHARACTERS, KEYWORDS, LABELS, unit_named


def test_units_are_found_by_the_names_in_reports() -> None:
    for unit in (CHARACTERS, LABELS, KEYWORDS):
        assert unit_named(unit.name) is unit
    assert [unit.rate for unit in (CHARACTERS, LABELS)] == ["CER", "LER"]
    assert KEYWORDS.one_per_clip


def test_a_report_may_count_what_is_not_known_here() -> None:
    assert unit_named("syllables").name == "syllables"
    assert not unit_named("syllables").one_per_clip

"""A Whisper in several programs: its section."""

from __future__ import annotations

from benchmarks.whisper_programs import PROGRAMS, Row, report


def test_texts_are_compared_with_those_of_the_same_model_here() -> None:
    rows = [
        Row("quantkit", "float32", 290.0, ["one two", "three"]),
        Row("theirs 1.0", "float32", 290.5, ["one two", "four"]),
        Row("quantkit", "45 MB", 45.0, ["one two", "four"]),
        Row("theirs 1.0", "45 MB", 45.5, ["one two", "four"]),
    ]
    section = report(rows, ["one two", "three"], "tiny.en", "--tested 2")
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert [line.rsplit("|", 2)[1].strip() for line in lines] == ["–", "1 of 2", "–", "2 of 2"]
    assert "| float32 | quantkit | 290.0 | 0.0 % [0.0, 0.0] |" in section
    assert "| float32 | theirs 1.0 | 290.5 | 33.3 % [" in section
    assert "loads no English-only model" in section
    other = [Row(f"{name} 1.0", "float32", 1.0, ["one two", "three"]) for name in PROGRAMS]
    assert "English-only" not in report([*rows, *other], ["one two", "three"], "base", "")

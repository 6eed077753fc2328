"""One transducer in several programs: what is counted, and its section."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.transducer_texts import compared, report


class Said:
    def __init__(self, text: str) -> None:
        self.text = text


class Wavering:
    """A model that writes one text of a clip as it is, and another once it is moved."""

    def transcribe(self, clip: Any, rate: int) -> Said:
        return Said("one two" if clip[0] == np.float32(0.5) else "one three")


def test_clips_of_other_texts_are_on_the_verge_where_both_can_be_written() -> None:
    clips = [np.full(8, value, np.float32) for value in (0.5, 0.25, 0.5)]
    texts = iter(("one three", "one three", "four"))
    model: Any = Wavering()
    row = compared("theirs", "mine", model, lambda _: next(texts), clips)
    assert row.ours == ["one two", "one three", "one two"]
    assert row.theirs == ["one three", "one three", "four"]
    assert row.verge == 1
    section = report([row], ["one two", "one three", "one two"], "--tested 3")
    assert "| theirs | mine | 1 of 3 | 1 | 0.0 % [" in section

"""What each codec costs: when its promise is broken."""

from __future__ import annotations

from benchmarks.codec_accuracy import BETTER, LOW_BITS, broken_promises


def moved(**changed: float) -> dict[str, float]:
    found = {f"bitplane {bits}": 0.1 / bits for bits in LOW_BITS}
    found |= {f"{name} {bits}": 0.05 / bits for name in BETTER for bits in LOW_BITS}
    return found | {name.replace("_", " "): value for name, value in changed.items()}


def test_better_codecs_must_be_better_at_each_width() -> None:
    assert broken_promises("speech", moved()) == []
    expected = "speech: grouped at 3 bits moves the posteriors by 0.0400, bitplane by 0.0333"
    assert broken_promises("speech", moved(grouped_3=0.04)) == [expected]

"""What each codec costs: when its promise is broken."""

from __future__ import annotations

import numpy as np

from benchmarks.codec_accuracy import BETTER, LOW_BITS, Divergence, broken_promises

FRAMES = np.full(40, 10.0)
#: Some clips are harder than others, for all codecs.
HARD = np.linspace(0.5, 1.5, 40)


def per_frame(mean: float) -> Divergence:
    return Divergence(mean * FRAMES * HARD, FRAMES)


def moved(**changed: Divergence) -> dict[str, Divergence]:
    found = {f"bitplane {bits}": per_frame(0.1 / bits) for bits in LOW_BITS}
    found |= {f"{name} {bits}": per_frame(0.05 / bits) for name in BETTER for bits in LOW_BITS}
    return found | {name.replace("_", " "): value for name, value in changed.items()}


def test_better_codecs_must_not_be_worse_at_any_width() -> None:
    assert broken_promises("speech", moved()) == []
    expected = "speech: grouped at 3 bits moves the posteriors by 0.0400, bitplane by 0.0333"
    assert broken_promises("speech", moved(grouped_3=per_frame(0.04))) == [expected]


def test_one_clip_does_not_break_a_promise() -> None:
    better, one = per_frame(0.03), np.zeros(40)
    one[7] = 4.0
    worse = Divergence(better.sums + one, FRAMES)
    assert worse.mean > 0.0333
    assert broken_promises("speech", moved(grouped_3=worse)) == []

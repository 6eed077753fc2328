"""The study of activation ranges: what its table says."""

from __future__ import annotations

from benchmarks.activation_ranges import BITS, report
from benchmarks.scoring import Score
from quantkit.quantization.choices.settings import RANGES


def test_every_range_has_a_row_at_every_width() -> None:
    base = Score((10, 20), 0.0)
    scores = {
        (bits, name): Score((10 + 8 - bits, 20), 0.1 / bits) for bits in BITS for name in RANGES
    }
    section = report(scores, base, 2)
    assert section.count("| 4 bits") == len(RANGES)
    assert "| 8 bits, min-max | 0.0125 | +0.0% | +0.0% … +0.0% |" in section
    # 4 edits more on 30.
    assert "| 4 bits, hessian | 0.0250 | +13.3% |" in section

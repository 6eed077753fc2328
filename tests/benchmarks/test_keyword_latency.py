"""What the study of the faster keyword spotter asks for makes sense."""

from __future__ import annotations

import numpy as np

from benchmarks.keyword_latency import BY_HAND, LIMITS, _row
from quantkit.planning.budget import parse_latency
from quantkit.quantization.choices.structure_rules import ChannelRule


def test_limits_fall_and_rules_can_be_read() -> None:
    limits = [parse_latency(limit, 1.0) for limit in LIMITS]
    assert limits == sorted(limits, reverse=True)
    assert all(ChannelRule.parse(rule).channels < 1 for rules in BY_HAND.values() for rule in rules)


def test_errors_are_told_as_points_of_accuracy_lost() -> None:
    before, errors = np.zeros(200), np.zeros(200)
    errors[:3] = 1.0
    row = _row("a file", 1.5, 3.0, 2_400_000, 0.01, errors, before, "layer: 8 channels")
    assert row[:5] == ["a file", "1.50", "2.00×", "2.40", "0.0100"]
    assert row[5].startswith("-1.50 [-3")
    assert row[6] == "layer: 8 channels"

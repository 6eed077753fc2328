"""What the study of the faster keyword spotter asks for and says makes sense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.keyword_latency import BEFORE, BY_HAND, LIMITS, Made, Measured, verdict
from quantkit.planning.budget import parse_latency
from quantkit.quantization.choices.structure_rules import ChannelRule


def _measured(name: str, ms: float, wrong: int) -> Measured:
    errors = np.zeros(2000)
    errors[:wrong] = 1.0
    return Measured(Made(name, Path(), "layer: 8 channels"), ms, errors, 0.01, 2_400_000)


FLOAT, OLD = _measured("float32", 3.0, 0), _measured(BEFORE, 4.0, 4)


def test_limits_fall_and_rules_can_be_read() -> None:
    limits = [parse_latency(limit, 1.0) for limit in LIMITS]
    assert limits == sorted(limits, reverse=True)
    assert all(ChannelRule.parse(rule).channels < 1 for rules in BY_HAND.values() for rule in rules)


def test_errors_are_told_as_points_of_accuracy_lost() -> None:
    row = _measured("a file", 1.5, 30).row(FLOAT, OLD)
    assert row[:6] == ["a file", "1.50", "2.00×", "2.67×", "2.40", "0.0100"]
    assert row[6].startswith("-1.50 [-2")
    assert row[7] == "layer: 8 channels"
    assert FLOAT.row(FLOAT, None)[6] == "–"


def test_the_verdict_is_of_the_most_accurate_file_that_is_twice_as_fast() -> None:
    files = [OLD, _measured("slow", 2.1, 0), _measured("good", 2.0, 8), _measured("bad", 1.0, 80)]
    assert "shown by “good”, 2.00 times as fast at -0.40" in verdict(files, FLOAT, OLD)


def test_the_verdict_says_what_is_not_shown() -> None:
    assert "not shown, 1.90 times" in verdict([OLD, _measured("slow", 2.105, 0)], FLOAT, OLD)
    assert "not shown by “bad”" in verdict([OLD, _measured("bad", 1.0, 80)], FLOAT, OLD)
    near = verdict([OLD, _measured("near", 1.0, 18)], FLOAT, OLD)
    assert "shown by the mean alone by “near”" in near


def test_the_float_model_is_what_accuracy_is_compared_with() -> None:
    assert replace(OLD, errors=FLOAT.errors).gain(FLOAT)[0] == 0.0

"""The study of ranks at equal bytes asks for what can be, and lets nothing but bytes decide."""

from __future__ import annotations

import pytest

from benchmarks.rank_bytes import BUDGETS, BY_HAND, NONE, without_time
from quantkit.graph.plan import Structure
from quantkit.quantization.choices.structure_rules import RankRule
from quantkit.structure.layers import Splittable

LAYER = Splittable(512, 192 * 32, 32)


def test_budgets_fall_and_rules_save_weights() -> None:
    assert sorted(BUDGETS, reverse=True) == list(BUDGETS)
    assert BY_HAND[NONE] == ()
    for rules in BY_HAND.values():
        for rule in map(RankRule.parse, rules):
            assert LAYER.products(rule.ranks(LAYER)) < 0.9


@pytest.mark.parametrize("ranks", [Structure(128), Structure(0, 96), Structure(256, 120)])
def test_parts_take_no_time(ranks) -> None:
    times = without_time({"layer9.conv": LAYER}, ["layer1.conv", "layer9.conv"])
    assert times.of_parts("layer9.conv", ranks, "static") == 0.0
    assert times.whole.milliseconds("layer1.conv", "static") == 0.0

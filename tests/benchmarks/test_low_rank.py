"""The frontier of ranks: what its table says of a file."""

from __future__ import annotations

from benchmarks.low_rank import BY_HAND, LIMITS, _in_words
from quantkit.graph.plan import Plan, Structure
from quantkit.planning.budget import parse_latency
from quantkit.quantization.choices.structure_rules import RankRule


def test_ranks_are_named_layer_by_layer() -> None:
    structure = {"layer1.conv": Structure(64), "layer9.conv": Structure(160, 96)}
    assert _in_words(Plan((), "", "optimal", structure=structure)) == (
        "layer1: 64, layer9: 96 → 160"
    )


def test_limits_fall_and_rules_can_be_read() -> None:
    limits = [parse_latency(limit, 1.0) for limit in LIMITS]
    assert limits == sorted(limits, reverse=True)
    assert all(RankRule.parse(rule).outputs < 1 for rules in BY_HAND.values() for rule in rules)

"""The study of bits of inputs asks for less time, and says which bits the ninth layer has."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.faster_inputs import LAYER, SHARES, Made
from quantkit.graph.plan import LayerPlan, Plan, Structure

ROW = LayerPlan(LAYER, "Conv", (512, 192, 32), "int8", 8, "static", 6, "min-max", 3_000_000)
PLAN = Plan((replace(ROW, name="layer8.conv", activation_bits=8), ROW), "ab" * 32, "by hand")


def test_limits_are_below_static_int8_and_fall() -> None:
    assert sorted(SHARES, reverse=True) == list(SHARES)
    assert SHARES[0] < 1


def test_bits_are_those_of_the_ninth_layer_and_of_its_parts() -> None:
    assert Made("a file", Path(), PLAN).inputs == "6"
    parts = (replace(ROW, name=f"{LAYER}.in", activation_bits=7), replace(ROW, activation_bits=8))
    made = Made("a file", Path(), replace(PLAN, layers=parts, structure={LAYER: Structure(160)}))
    assert made.inputs == "7, 8"
    assert made.structure == "layer9: 160"

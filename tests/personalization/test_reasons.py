"""Why a layer got its bits, in words that are true."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.personalization.reasons import divergence_per_weight, reasons
from quantkit.sensitivity.table import WeightDivergence


def test_each_layer_has_one_line_in_the_order_of_the_plan(sensitivity, plan) -> None:
    assert reasons(sensitivity, plan) == (
        "first holds 9 % of the weights and is more sensitive per byte than 2 of the other 3: "
        "8 bits",
        "second holds 5 % of the weights and is less sensitive per byte than 2 of the other 3: "
        "3 bits",
        "wide holds 85 % of the weights and is the least sensitive per byte: 2 bits",
        "last holds 1 % of the weights and is the most sensitive per byte: float32, as it was "
        "(pinned by you)",
    )


def test_nothing_is_said_about_what_is_not_known(sensitivity, plan) -> None:
    assert reasons(None, plan)[2] == "wide holds 85 % of the weights: 2 bits"
    silent = tuple(replace(layer, weights=()) for layer in sensitivity.layers)
    assert reasons(replace(sensitivity, layers=silent), plan) == reasons(None, plan)


def test_a_layer_of_next_to_nothing_holds_less_than_a_percent(plan) -> None:
    rows = (replace(plan.layers[0], shape=(2, 2)), *plan.layers[1:])
    (first, *_) = reasons(None, replace(plan, layers=rows))
    assert first == "first holds less than 1 % of the weights: 8 bits"


def test_sensitivity_is_that_of_the_best_codec_near_three_bits(sensitivity) -> None:
    layer = sensitivity.layer("wide")
    assert divergence_per_weight(layer) == pytest.approx(0.04 / 4 / (96 * 24 * 32))
    eight = WeightDivergence(CodecChoice.parse("int8"), 0.5, 0.0)
    far = replace(layer, weights=(eight,), parameters=10)
    assert divergence_per_weight(far) == pytest.approx(0.05)
    assert divergence_per_weight(replace(layer, weights=())) is None

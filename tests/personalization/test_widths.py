"""Weights and bits of a layer in figures and words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantkit.codecs.catalogue import NAMES
from quantkit.graph.plan import COMPUTES, LayerPlan, Plan
from quantkit.personalization.widths import (
    bits_in_words,
    compute_in_words,
    mean_bits,
    storage_in_words,
    stored_weights,
)


def row(codec: str, bits: float, **options: str) -> LayerPlan:
    shape = (10_000, 64)
    return LayerPlan("words", "Gather", shape, codec, bits, "float32", 32, "none", 0, options)


@pytest.mark.parametrize(
    ("codec", "bits", "words"),
    [("ternary", 1.6, "1.6 bits"), ("bitplane", 1, "1 bit"), ("grouped", 3, "3 bits")],
)
def test_most_codecs_give_all_weights_the_same(codec, bits, words) -> None:
    assert mean_bits(row(codec, bits)) == bits
    assert bits_in_words(row(codec, bits)) == words


def test_tiers_are_told_one_by_one() -> None:
    tiered = row("tiered", 3, tiers="1000x8+2000x5")
    assert mean_bits(tiered) == pytest.approx((1000 * 8 + 2000 * 5 + 7000 * 3) / 10_000)
    words = "8 bits for 1,000 channels, 5 for 2,000, 3 for the rest"
    assert bits_in_words(tiered) == words


def test_a_weight_that_two_layers_read_is_stored_for_the_first() -> None:
    words = replace(row("grouped", 3), bytes=260_000)
    logits = replace(row("grouped", 3), name="logits")
    assert stored_weights(Plan((words, logits), "", "optimal")) == {"words": 640_000, "logits": 0}
    # A plan that nobody has built yet does not say.
    unknown = (replace(words, bytes=0), logits)
    assert stored_weights(Plan(unknown, "", "optimal")) == {"words": 640_000, "logits": 640_000}


@pytest.mark.parametrize("codec", NAMES)
def test_every_codec_is_described(codec: str) -> None:
    assert storage_in_words(codec) != codec


def test_a_codec_of_somebody_else_goes_by_its_name() -> None:
    assert storage_in_words("vectors") == "vectors"


def test_every_compute_is_described() -> None:
    assert len({compute_in_words(compute) for compute in COMPUTES}) == len(COMPUTES)

"""Pictures stay readable for models of any number of layers and any names."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from quantkit.personalization.plots.colours import BIT_STEPS, bits_label, codec_colours, step_of
from quantkit.personalization.plots.layer_map import column_edges, labelled, layer_map
from quantkit.personalization.plots.sensitivity_plot import divergence_by_bits, sensitivity_plot
from quantkit.report.formatting import shortened


def test_columns_are_as_wide_as_their_weights() -> None:
    assert column_edges([100, 300, 600]) == pytest.approx([0.0, 0.1, 0.4, 1.0])


@pytest.mark.parametrize("count", [1, 11, 82, 2000])
def test_every_column_can_be_seen(count) -> None:
    edges = column_edges([10**9, *[1] * (count - 1)])
    assert edges[0] == 0.0
    assert edges[-1] == pytest.approx(1.0)
    assert min(b - a for a, b in pairwise(edges)) >= min(0.002, 0.2 / count)


@pytest.mark.parametrize("count", [1, 11, 82, 2000])
def test_numbers_of_columns_never_touch(count) -> None:
    edges = column_edges([1 + i % 7 for i in range(count)])
    kept = labelled(edges)
    middles = [(edges[i] + edges[i + 1]) / 2 for i in kept]
    assert kept
    assert all(b - a > 0.012 for a, b in pairwise(middles))


def test_wide_columns_are_numbered_first() -> None:
    assert 9 in labelled(column_edges([*[1] * 9, 10_000, *[1] * 9]))


def test_every_layer_is_in_the_map(plan) -> None:
    rows = tuple(replace(plan.layers[0], name=f"layer{i}") for i in range(40))
    svg = layer_map(replace(plan, layers=rows)).svg
    # A column and two strips for each.
    assert svg.count("var(--scale-6)") == 40
    assert "40 layers" in svg


def test_columns_that_are_cut_off_are_spoken_of(plan) -> None:
    assert "cut off" in layer_map(plan).caption
    assert "cut off" not in layer_map(replace(plan, layers=plan.layers[:3])).caption


def test_bits_have_a_step_each(plan) -> None:
    assert [step_of(bits) for bits in (1, 1.6, 2, 3, 4, 5, 6, 7, 8, 16, 32)] == [
        0,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        6,
        7,
        7,
    ]
    labels = [bits_label(step) for step in range(len(BIT_STEPS))]
    assert labels[1:4] == ["2 bits", "3 bits", "4 bits"]
    assert labels[-2:] == ["7–8 bits", "16–32 bits"]


def test_codecs_have_a_colour_each() -> None:
    names = ["int8", "grouped", "int8", "sparse", "codebook", "native"]
    assert len(set(codec_colours(names).values())) == 5


def test_the_best_codec_of_each_width_is_shown(sensitivity) -> None:
    assert divergence_by_bits(sensitivity.layer("wide")) == pytest.approx(
        {2: 0.04, 3: 0.01, 4: 0.0025}
    )


@pytest.mark.slow
def test_more_layers_than_help_are_left_to_the_table(sensitivity) -> None:
    first = sensitivity.layers[0]
    layers = tuple(replace(first, name=f"/model/layers.{i}/MatMul") for i in range(90))
    plot = sensitivity_plot(replace(sensitivity, layers=layers))
    assert plot is not None
    assert "The 30 least sensitive layers are in the table only." in plot.caption
    # The folder that all layers are in says nothing.
    assert "model/" not in plot.svg
    assert "layers.7/MatMul" in plot.svg


def test_nothing_measured_nothing_drawn(sensitivity) -> None:
    layers = tuple(replace(layer, weights=()) for layer in sensitivity.layers)
    assert sensitivity_plot(replace(sensitivity, layers=layers)) is None


@pytest.mark.parametrize("length", [5, 10, 24, 60])
def test_long_names_lose_their_middle(length) -> None:
    name = "/encoder/layers.0/attention/k_proj/MatMul"
    short = shortened(name, length)
    assert len(short) == min(length, len(name))
    assert short[-2:] == "ul"

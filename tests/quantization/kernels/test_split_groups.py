"""Static convolutions of several groups as one for each."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.graph.artifact import load_model
from quantkit.graph.layers import find_layers
from quantkit.quantization.kernels import split_groups
from tests.quantization.kernels.test_aligned_channels import chain, kernels, quantized, results


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of any size are worth it."""
    monkeypatch.setattr(split_groups, "FEWEST_WEIGHTS", 1)


@pytest.mark.parametrize("codec", ["", "bitplane:4"])
def test_groups_are_convolutions_of_their_own_and_sums_are_the_same(tmp_path, small, codec):
    model = chain(24, 48, 48, 6, groups=2)
    split = quantized(tmp_path / "split", model, codec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split_groups, "FEWEST_WEIGHTS", 1 << 40)
        whole = quantized(tmp_path / "whole", model, codec)

    shapes, _ = kernels(split.path)
    assert shapes[:4] == [[24, 12, 3], [24, 12, 3], [24, 24, 3], [24, 24, 3]]
    assert kernels(whole.path)[0][:2] == [[48, 12, 3], [48, 24, 3]]
    for found, wanted in zip(results(split.path), results(whole.path), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_file_holds_one_weight(tmp_path, small):
    result = quantized(tmp_path, chain(24, 48, 48, 6, groups=2))
    layers = find_layers(load_model(result.path))
    assert [(each.name, each.shape) for each in layers] == [
        ("layer1", (48, 12, 3)),
        ("layer2", (48, 24, 3)),
        ("layer3", (6, 24, 3)),
    ]
    assert not result.lint.problems
    assert [row.kernel for row in result.lint.rows[:2]] == ["QLinearConv"] * 2
    assert all(row.folded for row in result.lint.rows)


@pytest.mark.parametrize(
    ("channels", "groups"), [((24, 16, 6), 2), ((12, 36, 6), 6), ((24, 24, 6), 3)]
)
def test_groups_that_the_kernel_does_not_take_stay(tmp_path, small, channels, groups):
    result = quantized(tmp_path, chain(24, channels[1], 24, 6, groups=groups))
    shapes, _ = kernels(result.path)
    assert shapes[0][0] == channels[1]


def test_small_groups_are_not_worth_it(tmp_path):
    shapes, _ = kernels(quantized(tmp_path, chain(24, 48, 48, 6, groups=2)).path)
    assert [shape[0] for shape in shapes[:2]] == [48, 48]

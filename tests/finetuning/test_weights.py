"""What is trained is what is stored, to the bit, for every codec."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantkit.codecs.base import Encoded, Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.channels import to_rows
from quantkit.codecs.feedback import SecondMoments
from quantkit.finetuning.weight_forms import trained_weight
from quantkit.finetuning.weights import TrainedWeight

EVEN = ["int8", "bitplane:1", "bitplane:2", "bitplane:3", "native:2", "native:4", "ternary"]
TABLES = [
    "codebook:2",
    "codebook:1",
    "codebook:3,scope=channel",
    "codebook:2,table=normal-float",
    "grouped:2",
    "grouped:1",
    "grouped:3,group_size=8,table_bits=2",
]
FIXED = ["powers:2", "powers:3", "powers:4", "binary", "binary,group_size=8"]
PRICED = ["rice:1.2", "rice:2", "rice:3.7"]
OTHERS = ["sparse:3,keep=50", "float16", "tiered:2,tiers=4x6"]


def _values(axis: int = 0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((12, 42)) * rng.uniform(0.05, 3.0, (12, 1))
    shape = (12, 6, 7) if axis == 0 else (42, 12)
    return np.ascontiguousarray((rows if axis == 0 else rows.T).reshape(shape).astype(np.float32))


def _made(codec: str, axis: int = 0, largest: int | None = None) -> tuple[TrainedWeight, Encoded]:
    made = CodecChoice.parse(codec).make()
    values = _values(axis)
    importance = np.random.default_rng(1).uniform(0.5, 2.0, (1, 6, 1) if axis == 0 else (42, 1))
    first = made.encode(Weight(values, axis, importance.astype(np.float32), largest_level=largest))
    return trained_weight(made, values, first, largest), first


def _stored(weight: TrainedWeight) -> np.ndarray:
    encoded = weight.encoded()
    return to_rows(encoded.dequantized(), encoded.axis)


def _train(weight: TrainedWeight, steps: int = 30) -> None:
    target = torch.from_numpy(np.random.default_rng(2).standard_normal(weight.steps.shape)).float()
    optimizer = torch.optim.Adam([p for p in weight.parameters() if p.requires_grad], lr=0.02)
    for step in range(steps):
        loss = (weight() - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            weight.refresh()
    weight.refresh()


@pytest.mark.parametrize("codec", EVEN + TABLES + FIXED + PRICED + OTHERS)
def test_training_begins_with_what_post_training_quantization_stored(codec: str) -> None:
    weight, first = _made(codec)
    begun = weight().detach().numpy()
    np.testing.assert_allclose(begun, to_rows(first.dequantized(), first.axis), rtol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("codec", EVEN + TABLES + FIXED + PRICED + OTHERS)
def test_what_was_trained_is_what_is_stored_to_the_bit(codec: str, axis: int) -> None:
    if axis == 1 and codec.startswith("tiered"):
        pytest.skip("tiers are of rows")
    weight, first = _made(codec, axis)
    _train(weight)
    encoded = weight.encoded()
    scale = weight.scale.detach().numpy()[:, 0]
    if codec in EVEN + TABLES + FIXED + PRICED:
        np.testing.assert_array_equal(encoded.scale, scale)
        trained = weight.levels().detach().numpy()
        np.testing.assert_array_equal(to_rows(encoded.levels, encoded.axis), trained)
    np.testing.assert_allclose(_stored(weight), weight().detach().numpy(), rtol=1e-6)
    assert not np.array_equal(encoded.levels, first.levels)


@pytest.mark.parametrize("codec", EVEN + TABLES + FIXED + PRICED + OTHERS)
def test_a_weight_that_was_not_trained_is_stored_as_it_was(codec: str) -> None:
    weight, first = _made(codec)
    weight.refresh()
    encoded = weight.encoded()
    np.testing.assert_array_equal(encoded.levels, first.levels)
    np.testing.assert_array_equal(encoded.scale, first.scale)
    assert [part.part for part in encoded.packed] == [part.part for part in first.packed]


@pytest.mark.parametrize("codec", ["binary,group_size=8", "grouped:2", "grouped:1", "codebook:2"])
def test_groups_keep_the_tables_that_compensated_rounding_chose(codec: str) -> None:
    heard = np.random.default_rng(3).standard_normal((200, 44)).cumsum(axis=1)[:, 2:]
    moments = SecondMoments((heard.T @ heard / 200).astype(np.float32))
    made = CodecChoice.parse(codec).make()
    first = made.encode(Weight(_values(), 0, second_moments=moments))
    weight = trained_weight(made, _values(), first)
    weight.refresh()
    begun = weight().detach().numpy()
    np.testing.assert_allclose(begun, to_rows(first.dequantized(), 0), rtol=1e-6)
    np.testing.assert_array_equal(weight.encoded().levels, first.levels)


@pytest.mark.parametrize("codec", PRICED)
def test_codes_fit_into_the_file_whatever_is_learned(codec: str) -> None:
    weight, first = _made(codec)
    sizes = [part.part for part in first.packed]
    for growth in (0.3, 1.7):
        with torch.no_grad():
            # Larger weights have larger levels, which take more bits.
            weight.steps.mul_(growth)
        weight.refresh()
        levels = weight.levels().clone()
        encoded = weight.encoded()
        assert [part.part for part in encoded.packed] == sizes
        weight.refresh()
        assert torch.equal(weight.levels(), levels)
        np.testing.assert_array_equal(to_rows(encoded.levels, encoded.axis), levels.numpy())


def test_a_pruned_weight_comes_back_where_it_outgrows_one_that_was_kept() -> None:
    weight, first = _made("sparse:3,keep=50")
    pruned = torch.from_numpy(to_rows(first.levels, first.axis) == 0)
    assert not weight.steps.detach()[pruned].any()
    with torch.no_grad():
        weight.steps[0, int(pruned[0].nonzero()[0])] = 9.0
    weight.refresh()
    after = to_rows(weight.encoded().levels, first.axis) == 0
    assert after.sum() == pruned.sum()
    assert not after[0, int(pruned[0].nonzero()[0])]


@pytest.mark.parametrize(
    "codec", ["bitplane:2", "ternary", "grouped:2", "codebook:2", "powers:3", "rice:2"]
)
def test_training_reduces_the_loss(codec: str) -> None:
    weight, _ = _made(codec)
    target = torch.from_numpy(np.random.default_rng(2).standard_normal(weight.steps.shape)).float()
    before = (weight() - target).square().mean().item()
    _train(weight, 200)
    assert (weight() - target).square().mean().item() < 0.8 * before


@pytest.mark.parametrize("codec", ["int8", "bitplane:8", "codebook:4"])
def test_no_level_goes_beyond_the_largest(codec: str) -> None:
    weight, _ = _made(codec, largest=64)
    _train(weight)
    assert np.abs(weight.encoded().levels.astype(int)).max() <= 64


def test_the_scales_gradient_is_that_of_learned_step_sizes() -> None:
    weight, _ = _made("bitplane:2")
    weight().sum().backward()
    ratios = (weight.values / weight.scale).detach()
    levels = weight.levels()
    within = (ratios >= -2.5) & (ratios <= 1.5)
    wanted = torch.where(within, levels - ratios, levels).sum(1, keepdim=True)
    assert weight.scale_growth.grad is not None
    torch.testing.assert_close(
        weight.scale_growth.grad, wanted * weight.first_scale, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("codec", ["bitplane:2", "powers:3", "binary", "grouped:2", "codebook:2"])
def test_fixed_integers_stay_what_they_are_while_the_rest_is_trained(codec: str) -> None:
    weight, _ = _made(codec)
    weight.return_to_float()
    weight.can_be_fixed()
    weight.form = "as it is"
    held: list[tuple[torch.Tensor, torch.Tensor]] = []
    for share in (0.5, 0.75, 1.0):
        weight.fix(share)
        assert weight.fixed is not None
        assert int(weight.fixed.sum()) == round(share * weight.fixed.numel())
        for mask, levels in held:
            assert torch.equal(weight.levels()[mask], levels)
        fixed = weight.fixed.clone()
        held.append((fixed, weight.levels()[fixed].clone()))
        _train(weight, 10)
    encoded = weight.encoded()
    trained = weight.levels().detach().numpy()
    np.testing.assert_array_equal(to_rows(encoded.levels, encoded.axis), trained)
    np.testing.assert_allclose(_stored(weight), weight().detach().numpy(), rtol=1e-6)


def test_large_weights_are_fixed_first_and_the_others_are_floats_meanwhile() -> None:
    weight, _ = _made("powers:3")
    weight.return_to_float()
    weight.can_be_fixed()
    weight.form = "as it is"
    weight.fix(0.5)
    assert weight.fixed is not None
    magnitudes = weight.steps.detach().abs()
    assert magnitudes[weight.fixed].min() >= magnitudes[~weight.fixed].max()
    made = weight().detach()
    torch.testing.assert_close(made[~weight.fixed], weight.values.detach()[~weight.fixed])
    levels = weight.levels() * weight.scale
    torch.testing.assert_close(made[weight.fixed], levels.detach()[weight.fixed])


@pytest.mark.parametrize("codec", ["binary", "bitplane:2", "codebook:2", "powers:3"])
def test_clipped_weights_lie_between_the_outermost_levels(codec: str) -> None:
    weight, _ = _made(codec)
    with torch.no_grad():
        weight.steps.mul_(3.0)
    before = weight.levels().clone()
    weight.clip()
    ratios = (weight.values / weight.scale).detach()
    lowest, highest = weight.bounds()
    assert (ratios >= lowest - 1e-4).all()
    assert (ratios <= highest + 1e-4).all()
    assert torch.equal(weight.levels(), before)


@pytest.mark.parametrize(
    "codec", ["binary", "bitplane:3", "ternary", "codebook:2", "powers:3", "rice:2"]
)
def test_drawn_levels_are_neighbours_and_the_weight_is_their_mean(codec: str) -> None:
    weight, _ = _made(codec)
    weight.clip()
    weight.form, weight.generator = "drawn", torch.Generator().manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([weight() / weight.scale for _ in range(400)])
        lower, upper = weight.neighbours()
        near = (draws - lower).abs().minimum((draws - upper).abs())
        assert near.max() < 1e-4 * max(1.0, float(upper.max()))
        wanted = weight.values / weight.scale
        error = (draws.mean(0) - wanted) / (upper - lower).clamp(min=1.0)
        assert error.abs().max() < 5 * 0.5 / 400**0.5

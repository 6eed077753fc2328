"""Output channels in tiers of their own bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.grouped import Grouped
from quantkit.codecs.plain import Int8
from quantkit.codecs.tiered import Tiered
from quantkit.errors import InputError

CHANNELS, INPUTS = 300, 64


def vocabulary(channels: int = CHANNELS, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal((channels, INPUTS)).astype(np.float32)


def squared_errors(codec, weight: Weight) -> np.ndarray:
    """Of each channel."""
    difference = np.moveaxis(codec.encode(weight).dequantized() - weight.values, weight.axis, 0)
    return (difference.reshape(len(difference), -1) ** 2).sum(axis=1)


@pytest.mark.slow
@settings(deadline=None)
@given(
    shape=st.lists(st.integers(5, 9), min_size=1, max_size=3),
    bits=st.integers(1, 8),
    tiers=st.sampled_from(["1x8", "4x7", "2x8+1x3", "1x6+2x5+1x1"]),
    heard=st.booleans(),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, bits, tiers, heard, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    random = np.random.default_rng(len(shape))
    importance = random.random(shape[axis], np.float32) if heard else None
    values = random.standard_normal(shape).astype(np.float32)
    weight = Weight(values, axis, channel_importance=importance)
    codec = Tiered(bits, tiers)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert encoded.scale.shape == (shape[axis],)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


def test_each_tier_takes_its_bits_and_each_channel_one_or_two_for_its_tier():
    shape = (CHANNELS, INPUTS)
    rest, most = Grouped(3), Int8()
    one = stored_bytes(most, (40, INPUTS), 0) + stored_bytes(rest, (260, INPUTS), 0)
    assert stored_bytes(Tiered(3, "40x8"), shape, 0) == one + 38
    two = stored_bytes(Bitplane(7), (60, INPUTS), 0) + stored_bytes(rest, (200, INPUTS), 0)
    assert stored_bytes(Tiered(3, "40x8+60x7"), shape, 0) == (
        stored_bytes(most, (40, INPUTS), 0) + two + 76
    )


def test_the_most_important_channels_have_the_least_error():
    values = vocabulary()
    importance = np.random.default_rng(1).permutation(CHANNELS).astype(np.float32)
    weight = Weight(values, 0, channel_importance=importance)
    errors = squared_errors(Tiered(2, "40x8+60x4"), weight)
    ranks = CHANNELS - 1 - importance
    first, second, rest = (
        errors[ranks < 40],
        errors[(ranks >= 40) & (ranks < 100)],
        errors[ranks >= 100],
    )
    assert first.max() < second.min()
    assert second.max() < rest.min()


def test_a_tier_has_the_error_of_its_codec():
    values = vocabulary()
    importance = np.arange(CHANNELS, 0, -1).astype(np.float32)
    tiered = Tiered(2, "100x5").encode(Weight(values, 0, channel_importance=importance))
    alone = Grouped(5).encode(Weight(values[:100], 0))
    np.testing.assert_array_equal(tiered.levels[:100], alone.levels)
    np.testing.assert_array_equal(tiered.scale[:100], alone.scale)


def test_without_importance_the_first_channels_are_the_most_important():
    """Tokens are numbered by how often they occurred as the vocabulary was made."""
    errors = squared_errors(Tiered(2, "40x8"), Weight(vocabulary(), 0))
    assert errors[:40].max() < errors[40:].min()


def test_a_transposed_weight_has_the_same_levels():
    """A tied embedding is read both ways."""
    importance = np.random.default_rng(2).random(CHANNELS, np.float32)
    rows = Tiered(3, "40x8").encode(Weight(vocabulary(), 0, channel_importance=importance))
    columns = Tiered(3, "40x8").encode(Weight(vocabulary().T, 1, channel_importance=importance))
    np.testing.assert_array_equal(rows.levels, columns.levels.T)


@pytest.mark.slow
def test_all_tiers_compensate_their_rounding_errors():
    random = np.random.default_rng(3)
    mixing = random.standard_normal((INPUTS, INPUTS)) * 0.9 ** np.arange(INPUTS)
    inputs = (random.standard_normal((4096, INPUTS)) @ mixing).astype(np.float32)
    moments = SecondMoments(inputs.T @ inputs / len(inputs))
    importance = np.arange(CHANNELS, 0, -1).astype(np.float32)
    codec = Tiered(2, "100x3")

    def output_errors(second_moments):
        weight = Weight(vocabulary(), 0, None, second_moments, channel_importance=importance)
        difference = codec.encode(weight).dequantized() - weight.values
        return ((inputs @ difference.T) ** 2).mean(axis=0)

    nearest, compensated = output_errors(None), output_errors(moments)
    assert compensated[:100].sum() < 0.8 * nearest[:100].sum()
    assert compensated[100:].sum() < 0.8 * nearest[100:].sum()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tiered:3", "COUNTxBITS"),
        ("tiered:3,tiers=40", "COUNTxBITS"),
        ("tiered:3,tiers=40x", "COUNTxBITS"),
        ("tiered:3,tiers=-1x8", "COUNTxBITS"),
        ("tiered:3,tiers=40x9", "9 bits"),
        ("tiered:3,tiers=0x8", "0 channels"),
        ("tiered:9,tiers=40x8", "9 bits"),
        ("tiered:3,tiers=1x8+1x7+1x6+1x5", "4 tiers"),
    ],
)
def test_tiers_that_make_no_sense_are_refused(text, reason):
    with pytest.raises(InputError, match=reason):
        CodecChoice.parse(text)


def test_tiers_leave_a_rest():
    assert Tiered(3, "299x8").fits(CHANNELS)
    assert not Tiered(3, "300x8").fits(CHANNELS)
    with pytest.raises(InputError, match="300 output channels"):
        Tiered(3, "200x8+100x5").parts((CHANNELS, INPUTS), 0)


def test_it_is_named_like_any_other_codec():
    text = "tiered:3,tiers=2048x8+8192x5"
    assert str(CodecChoice.parse(text)) == text
    assert CodecChoice.parse(text).make() == Tiered(3, "2048x8+8192x5")

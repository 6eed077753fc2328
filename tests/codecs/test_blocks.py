"""Blocks of weights: their parts, their error, and how codes lie in bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import DecodeBuilder, Encoded, Weight
from quantkit.codecs.blocks import Blocks
from quantkit.errors import InputError

RANDOM = np.random.default_rng(0)
CODECS = [Blocks(bits, size) for bits in (2, 4, 8) for size in (16, 64)]


def unpacked(encoded: Encoded, codec: Blocks, inputs: int) -> np.ndarray:
    """(channels, inputs) weights, read as the operator's documentation says."""
    stored = {
        each.part.name: np.frombuffer(each.raw, np.uint8).reshape(each.part.shape)
        for each in encoded.packed
    }

    def codes_of(packed: np.ndarray) -> np.ndarray:
        places = np.arange(8 // codec.bits) * codec.bits
        digits = (packed[..., None] >> places) & (2**codec.bits - 1)
        return digits.reshape(*packed.shape[:-1], packed.shape[-1] * len(places)).astype(int)

    codes, multipliers = codes_of(stored["codes"]), stored["multipliers"]
    zero_points = np.full(multipliers.shape, 2 ** (codec.bits - 1))
    if "zero_points" in stored:
        zero_points = codes_of(stored["zero_points"])[:, : multipliers.shape[1]]
    levels = (codes - zero_points[..., None]) * multipliers[..., None].astype(int)
    rows = levels.reshape(len(levels), levels.shape[1] * levels.shape[2])[:, :inputs]
    return rows * encoded.scale[:, None]


@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=3),
    data=st.data(),
    bits=st.sampled_from([2, 4, 8]),
    magnitude=st.sampled_from([0.0, 1e-30, 1.0, 1e30]),
)
def test_levels_are_what_the_packed_bytes_say(shape, data, bits, magnitude) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    codec = Blocks(bits, 16)
    shape = (*shape, 5) if len(shape) < 3 else tuple(shape)
    values = (magnitude * RANDOM.standard_normal(shape)).astype(np.float32)
    encoded = codec.encode(Weight(values, axis))
    assert tuple(each.part for each in encoded.packed) == codec.parts(shape, axis)
    assert all(len(each.raw) == each.part.bytes for each in encoded.packed)
    assert np.isfinite(encoded.scale).all()
    assert (encoded.scale > 0).all()
    by_channel = np.moveaxis(encoded.dequantized(), axis, 0)
    inputs = int(np.prod(by_channel.shape[1:]))
    rows = unpacked(encoded, codec, inputs)
    np.testing.assert_allclose(by_channel.reshape(shape[axis], inputs), rows, rtol=1e-6)


def error_of(codec: Blocks, values: np.ndarray, importance: np.ndarray | None = None) -> float:
    encoded = codec.encode(Weight(values, 0, importance))
    squares = (encoded.dequantized() - values) ** 2
    return float((squares if importance is None else squares * importance).sum())


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_search_is_never_worse_than_the_range_of_each_block(codec) -> None:
    values = RANDOM.standard_normal((20, 4 * codec.block_size)).astype(np.float32)
    blocks = values.reshape(20, 4, codec.block_size)
    lowest = blocks.min(axis=-1, keepdims=True)
    step = np.ptp(blocks, axis=-1, keepdims=True) / (2**codec.bits - 1)
    if not codec.has_zero_points:
        lowest = -np.abs(blocks).max(axis=-1, keepdims=True)
        step = -lowest / (2 ** (codec.bits - 1) - 1)
    zero = np.rint(-lowest / step)
    rounded = (np.clip(np.rint(blocks / step), -zero, 2**codec.bits - 1 - zero)) * step
    assert error_of(codec, values) < 1.02 * float(((rounded - blocks) ** 2).sum())


def test_more_bits_and_shorter_blocks_mean_less_error() -> None:
    values = RANDOM.laplace(size=(64, 512)).astype(np.float32)
    by_bits = [error_of(Blocks(bits), values) for bits in (2, 4, 8)]
    assert by_bits[0] > 8 * by_bits[1] > 64 * by_bits[2]
    by_size = [error_of(Blocks(4, size), values) for size in (16, 32, 64, 128, 256)]
    assert by_size == sorted(by_size)


def test_blocks_of_positive_weights_use_all_their_codes() -> None:
    values = RANDOM.uniform(0.5, 1.0, (8, 64)).astype(np.float32)
    symmetric = 64 * 8 * (1.0 / 7) ** 2 / 12
    assert error_of(Blocks(4), values) < 0.5 * symmetric


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_error_moves_to_weights_that_matter_less(bits) -> None:
    values = RANDOM.laplace(size=(64, 256)).astype(np.float32)
    importance = RANDOM.uniform(0.05, 5.0, (1, 256)).astype(np.float32) ** 2
    blind = Blocks(bits).encode(Weight(values, 0))
    ignored = float((importance * (blind.dequantized() - values) ** 2).sum())
    assert error_of(Blocks(bits), values, importance) < 0.97 * ignored


def test_size_of_a_weight() -> None:
    parts = Blocks(4, 32).parts((512, 100), 1)
    assert [(each.name, each.shape) for each in parts] == [
        ("codes", (100, 16, 16)),
        ("multipliers", (100, 16)),
        ("zero_points", (100, 8)),
    ]
    assert len(Blocks(8).parts((512, 100), 1)) == 2


@pytest.mark.parametrize(
    ("bits", "size", "message"),
    [(3, 32, "2, 4 or 8 bits, not 3"), (4, 48, "block_size must be 16, 32, 64, 128 or 256")],
)
def test_settings_that_no_kernel_has(bits, size, message) -> None:
    with pytest.raises(InputError, match=message):
        Blocks(bits, size)


def test_other_kernels_cannot_read_blocks() -> None:
    with pytest.raises(InputError, match="for compute matmul-nbits only"):
        Blocks(4).decode((4, 4), 0, {}, DecodeBuilder())

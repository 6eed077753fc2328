"""Groups of weights that choose between tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.bitplane import Bitplane
from quantkit.codecs.codebook import Codebook
from quantkit.codecs.grouped import Grouped
from quantkit.errors import InputError


def heavy_tailed(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Like trained weights: Laplace distributed, larger in some places than in others."""
    random = np.random.default_rng(seed)
    local = np.exp(0.5 * random.standard_normal((*shape[:-1], -(-shape[-1] // 16))))
    return (random.laplace(size=shape) * local.repeat(16, -1)[..., : shape[-1]]).astype(np.float32)


def error(codec, weight: Weight) -> float:
    importance = np.float64(1) if weight.importance is None else weight.importance
    difference = codec.encode(weight).dequantized().astype(np.float64) - weight.values
    return float((importance * difference**2).sum())


@pytest.mark.slow
@given(
    shape=st.lists(st.integers(0, 9), min_size=1, max_size=4),
    bits=st.integers(1, 6),
    group_size=st.sampled_from([8, 16, 40]),
    table_bits=st.integers(1, 4),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, bits, group_size, table_bits, data, decoded):
    axis = data.draw(st.integers(0, len(shape) - 1))
    weight = Weight(heavy_tailed(tuple(shape)), axis)
    codec = Grouped(bits, group_size, table_bits)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, axis)
    assert encoded.scale.shape == (shape[axis],)
    found = decoded(codec, weight, encoded)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, encoded.levels)


@pytest.mark.parametrize("bits", range(1, 7))
def test_a_weight_takes_its_bits_and_its_share_of_a_choice(bits):
    stored = stored_bytes(Grouped(bits), (64, 32, 7), 0)
    assert stored == 64 * 32 * 7 * (bits + 4 / 16) / 8 + 16 * 2**bits


@pytest.mark.parametrize("channels", [511, 512])
def test_tables_are_learned_from_all_columns_of_a_channel(channels):
    # Of 512 channels of 512 weights every fourth group would do to learn from; but then the same
    # columns would be taken from each channel, and these have nothing to do with the others.
    values = heavy_tailed((channels, 512))
    places = np.arange(512) // 16 % 4 == 0
    values[:, places] = np.sign(values[:, places])
    weight = Weight(values, 0)
    assert error(Grouped(4), weight) < 0.01 * float((values**2).sum())


@pytest.mark.slow
def test_a_few_large_weights_are_cut_off_where_all_others_gain(monkeypatch):
    weights = []
    for seed in range(3):
        values = np.random.default_rng(seed).standard_normal((256, 256)).astype(np.float32)
        values[::40, 7] *= 8
        weights.append(Weight(values, 0))
    any_reach = [error(Grouped(6), weight) for weight in weights]
    monkeypatch.setattr("quantkit.codecs.tables._REACHES", (1.0,))
    full_reach = [error(Grouped(6), weight) for weight in weights]
    assert sum(any_reach) < 0.9 * sum(full_reach)
    assert all(a <= b * 1.001 for a, b in zip(any_reach, full_reach, strict=True))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_it_has_less_error_than_one_more_bit_with_even_levels(bits):
    weight = Weight(heavy_tailed((128, 1024)), 0)
    grouped, wider = Grouped(bits), Bitplane(bits + 1)
    assert error(grouped, weight) < error(wider, weight)
    assert stored_bytes(grouped, (128, 1024), 0) < 0.86 * stored_bytes(wider, (128, 1024), 0)


@pytest.mark.parametrize("bits", range(1, 7))
def test_the_choice_of_tables_pays_where_magnitudes_differ(bits):
    weight = Weight(heavy_tailed((64, 512)), 0)
    assert error(Grouped(bits), weight) < 0.75 * error(Codebook(bits), weight)


@pytest.mark.slow
def test_error_decreases_with_bits_tables_and_shorter_groups():
    weight = Weight(heavy_tailed((64, 512)), 0)
    by_bits = [error(Grouped(bits), weight) for bits in range(1, 7)]
    by_tables = [error(Grouped(2, 16, tables), weight) for tables in (1, 2, 3, 4)]
    by_size = [error(Grouped(2, size, 4), weight) for size in (128, 64, 32, 16, 8)]
    for errors in (by_bits, by_tables, by_size):
        assert errors == sorted(errors, reverse=True)


def test_important_weights_have_less_error():
    importance = np.where(np.arange(512) % 8, 1, 100).astype(np.float32)
    values = heavy_tailed((64, 512))
    heard, all_alike = Weight(values, 0, importance), Weight(values, 0)
    difference = Grouped(2).encode(all_alike).dequantized() - values
    assert error(Grouped(2), heard) < 0.5 * float((importance * difference**2).sum())


def test_the_axis_of_the_channels_does_not_matter():
    values = heavy_tailed((24, 40, 3))
    first = Grouped(3).encode(Weight(values, 0))
    last = Grouped(3).encode(Weight(np.moveaxis(values, 0, -1), 2))
    np.testing.assert_array_equal(np.moveaxis(last.levels, -1, 0), first.levels)
    np.testing.assert_array_equal(last.scale, first.scale)
    assert [p.raw for p in last.packed] == [p.raw for p in first.packed]


@pytest.mark.parametrize("magnitude", [1e-44, 1e-30, 1.0, 1e30, 3e38])
def test_any_magnitude_is_kept(magnitude):
    values = np.clip(heavy_tailed((8, 64)), -4, 4) / 4 * np.float64(magnitude)
    weight = Weight(values.astype(np.float32), 0)
    encoded = Grouped(4).encode(weight)
    assert np.isfinite(encoded.scale).all()
    assert (encoded.scale > 0).all()
    # Below the least normal scale, 1e-38 · 127, nothing but zero can be told.
    allowed = 0.1 * magnitude + 1e-36
    assert np.abs(encoded.dequantized().astype(np.float64) - weight.values).max() < allowed


def test_silent_channels_beside_loud_ones_stay_silent(decoded):
    values = heavy_tailed((6, 50))
    values[[1, 4]] = 0
    weight = Weight(values, 0)
    encoded = Grouped(2).encode(weight)
    assert (encoded.scale > 0).all()
    assert np.abs(encoded.dequantized()[[1, 4]]).max() < 1e-4 * np.abs(values).max()
    np.testing.assert_array_equal(decoded(Grouped(2), weight, encoded), encoded.levels)


def test_a_weight_of_zeros_stays_zero():
    encoded = Grouped(3).encode(Weight(np.zeros((3, 20), np.float32), 0))
    assert not encoded.levels.any()
    assert (encoded.scale > 0).all()


def test_channels_of_one_value_keep_it():
    values = np.repeat(np.array([[1.0], [-2.0], [1e-3]], np.float32), 64, axis=1)
    dequantized = Grouped(2).encode(Weight(values, 0)).dequantized()
    np.testing.assert_allclose(dequantized, values, rtol=1e-2)


def test_the_same_weight_gives_the_same_bytes():
    weight = Weight(heavy_tailed((16, 100)), 0)
    assert Grouped(3).encode(weight).packed == Grouped(3).encode(weight).packed


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"bits": 0}, "choose 1 to 6"),
        ({"bits": 7}, "choose 1 to 6"),
        ({"bits": 3, "table_bits": 5}, "choose 0 to 4 table bits"),
        ({"bits": 2, "table_bits": 0}, "at least 1 table bit"),
        ({"bits": 2, "group_size": 12}, "multiple of 8"),
        ({"bits": 2, "group_size": 0}, "multiple of 8"),
    ],
)
def test_settings_out_of_range_are_refused(settings, problem):
    with pytest.raises(InputError, match=problem):
        Grouped(**settings)

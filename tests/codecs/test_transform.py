"""Coefficients over the taps of filters, in codes of their own."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.codecs.base import Weight, blank, stored_bytes
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.rice import Rice
from quantkit.codecs.transform import Transform, allotted, basis_of
from quantkit.errors import InputError


def filters(channels: int, inputs: int, *taps: int, seed: int = 0) -> np.ndarray:
    """Whose neighbouring taps are alike, in channels of different loudness."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(taps))
    near = np.exp(-np.abs(np.subtract.outer(np.arange(count), np.arange(count))) / 4.0)
    found = rng.standard_normal((channels, inputs, count)) @ np.linalg.cholesky(near).T
    found *= rng.uniform(0.5, 2.0, (channels, 1, 1))
    return found.reshape(channels, inputs, *taps).astype(np.float32)


def moments(inputs: int, groups: int = 1) -> SecondMoments:
    rng = np.random.default_rng(1)
    heard = rng.standard_normal((groups, 4 * inputs, inputs + 2)).astype(np.float32)
    # Neighbouring inputs are alike, too.
    heard = heard[..., 2:] + 0.7 * heard[..., 1:-1] + 0.3 * heard[..., :-2]
    return SecondMoments(np.einsum("gti,gtj->gij", heard, heard) / (4 * inputs))


def noise(weight: Weight, decoded: np.ndarray) -> float:
    error = (decoded - weight.values).reshape(len(decoded), -1)
    if weight.second_moments is None:
        return float(np.square(error).sum())
    (matrix,) = weight.second_moments.matrices
    return float(np.einsum("oi,ij,oj->", error, matrix, error))


@pytest.mark.parametrize("bits", [1, 1.25, 2, 3.5, 5])
@pytest.mark.parametrize("shape", [(16, 24, 5), (15, 23, 4), (12, 20, 2, 3)])
def test_the_decoder_gives_the_levels_to_the_bit(bits, shape, decoded):
    weight = Weight(filters(*shape), 0, second_moments=moments(int(np.prod(shape[1:]))))
    codec = Transform(bits)
    encoded = codec.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, 0)
    assert encoded.levels.dtype == np.int8
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)


@pytest.mark.parametrize(
    ("bits", "with_moments"), [(1.5, True), (2, True), (1.5, False), (2, False)]
)
def test_alike_taps_take_fewer_bits_than_alone(bits, with_moments):
    shape = (32, 40, 7)
    weight = Weight(filters(*shape), 0, second_moments=moments(280) if with_moments else None)
    codec = Transform(bits)
    assert stored_bytes(codec, shape, 0) <= 8 + 49 + 2 * 80 + 280 * 32 * bits / 8
    alone = Rice(bits + 0.15).encode(weight).dequantized()
    assert noise(weight, codec.encode(weight).dequantized()) < noise(weight, alone)


def test_a_fine_basis_is_orthogonal_and_sorted_by_variance():
    values = filters(32, 40, 7)
    basis = basis_of(values, 60.0).astype(np.float32) / 60
    np.testing.assert_allclose(basis.T @ basis, np.eye(7), atol=0.05)
    variances = np.square(values.reshape(-1, 7) @ basis).mean(axis=0)
    assert (np.diff(variances) > 0).all()


@pytest.mark.parametrize("taps", [2, 7, 48])
def test_a_coarse_basis_is_invertible(taps):
    basis = basis_of(filters(64, 64, taps), 3.0)
    assert np.linalg.cond(basis.astype(float)) <= 8


def test_the_weights_are_whole_sums_of_coefficients(decoded):
    encoded = Transform(2).encode(Weight(filters(16, 24, 5), 0))
    (basis,) = (part for part in encoded.packed if part.part.name == "basis")
    matrix = np.frombuffer(basis.raw, np.int8).reshape(5, 5).astype(float)
    coefficients = encoded.levels.reshape(-1, 5) @ np.linalg.inv(matrix).T
    np.testing.assert_allclose(coefficients, np.rint(coefficients), atol=1e-6)


def test_low_bits_go_where_they_shorten_the_row_the_most():
    rng = np.random.default_rng(0)
    ranks = rng.geometric(1 / np.array([[2.0], [40.0], [9.0]]), (3, 500))
    found = allotted(ranks, 8)
    assert found.sum() == 8
    best = min(
        (int((ranks >> np.array([[a], [b], [8 - a - b]])).sum()), (a, b, 8 - a - b))
        for a in range(9)
        for b in range(9 - a)
    )
    assert int((ranks >> found[:, None]).sum()) == best[0]


@pytest.mark.parametrize(("shape", "axis"), [((40, 60), 0), ((60, 40), 1), ((6, 5, 3), 0)])
def test_weights_without_taps_or_with_few_filters_are_stored_by_rice(shape, axis, decoded):
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    weight = Weight(values, axis)
    one, other = Transform(2.5).encode(weight), Rice(2.5).encode(weight)
    assert [part.raw for part in one.packed] == [part.raw for part in other.packed]
    assert Transform(2.5).parts(shape, axis) == Rice(2.5).parts(shape, axis)
    np.testing.assert_array_equal(decoded(Transform(2.5), weight, one), one.levels)


def test_a_large_weight_is_stored_in_segments(decoded, monkeypatch):
    monkeypatch.setattr("quantkit.codecs.transform._SEGMENT", 2000)
    shape = (50, 40, 3)
    weight = Weight(filters(*shape), 0, second_moments=moments(120))
    codec = Transform(3)
    encoded = codec.encode(weight)
    assert [each.shape[0] for each in codec.split(shape, 0)] == [17, 17, 16]
    assert tuple(stored.part for stored in encoded.packed) == codec.parts(shape, 0)
    np.testing.assert_array_equal(decoded(codec, weight, encoded), encoded.levels)
    packed = blank(codec, shape, 0, seed=0)
    assert tuple(stored.part for stored in packed) == codec.parts(shape, 0)


@pytest.mark.parametrize("bits", [1, 2.3, 4.5])
def test_random_content_decodes_too(bits, decoded):
    shape = (16, 24, 5)
    weight = Weight(filters(*shape), 0)
    packed = blank(Transform(bits), shape, 0, seed=3)
    assert tuple(stored.part for stored in packed) == Transform(bits).parts(shape, 0)
    encoded = Transform(bits).encode(weight)
    found = decoded(
        Transform(bits), weight, type(encoded)(encoded.levels, encoded.scale, 0, packed)
    )
    assert found.shape == shape


def test_groups_have_moments_of_their_own(decoded):
    weight = Weight(filters(24, 30, 3), 0, second_moments=moments(90, groups=2))
    encoded = Transform(2).encode(weight)
    np.testing.assert_array_equal(decoded(Transform(2), weight, encoded), encoded.levels)
    alone = Transform(2).encode(Weight(weight.values, 0)).dequantized()

    def error(values: np.ndarray) -> float:
        flat = (values - weight.values).reshape(2, 12, 90)
        return float(np.einsum("goi,gij,goj->", flat, weight.second_moments.matrices, flat))

    assert error(encoded.dequantized()) < error(alone)


@pytest.mark.parametrize("largest", [63, None])
def test_levels_keep_to_the_largest(largest):
    encoded = Transform(4).encode(Weight(filters(16, 24, 5), 0, largest_level=largest))
    found = np.abs(encoded.levels.astype(int)).max()
    assert 0.5 * (largest or 127) < found <= (largest or 127)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30])
def test_any_magnitude_is_stored(value, decoded):
    weight = Weight(filters(16, 24, 5) * np.float32(value), 0)
    encoded = Transform(2).encode(weight)
    np.testing.assert_array_equal(decoded(Transform(2), weight, encoded), encoded.levels)
    assert np.isfinite(encoded.scale).all()
    assert (encoded.scale > 0).all()


def test_bits_out_of_range_are_refused():
    with pytest.raises(InputError, match=r"1 to 5 bits, not 0\.5"):
        Transform(0.5)

"""Rounding whose errors are made good by other weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantkit.codecs.base import Codec, Encoded, Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.feedback import Feedback, SecondMoments
from quantkit.codecs.uniform import UniformGrid, fit_uniform
from quantkit.codecs.uniform_rounding import round_uniform

#: Each channel on a grid of its own.
EACH_CHANNEL = [
    "bitplane:1",
    "bitplane:2",
    "bitplane:3",
    "bitplane:4",
    "bitplane:6",
    "native:2",
    "native:4",
    "ternary",
    "binary",
    "codebook:3,scope=channel",
    "sparse:3,keep=40",
    "blocks:2,block_size=16",
    "blocks:4",
    "blocks:8",
]
#: Channels that share tables.
SHARED_TABLES = [
    "codebook:2",
    "codebook:4",
    "codebook:3,table=normal-float",
    "grouped:2",
    "grouped:3,group_size=40",
    "grouped:4,table_bits=2",
    "powers:3",
    "binary,group_size=40",
]
CODECS = EACH_CHANNEL + SHARED_TABLES


def codec_of(text: str) -> Codec:
    return CodecChoice.parse(text).make()


def correlated(rows: int, inputs: int, seed: int = 0) -> np.ndarray:
    """Few causes, many inputs, as in speech; none of them centered."""
    random = np.random.default_rng(seed)
    causes = random.standard_normal((rows, max(inputs // 8, 1)))
    mixed = causes @ random.standard_normal((causes.shape[1], inputs))
    return np.maximum(mixed + 0.3 * random.standard_normal((rows, inputs)), 0)


def moments_of(rows: np.ndarray) -> np.ndarray:
    return (rows.T @ rows / len(rows)).astype(np.float32)


def weight_meeting(moments: np.ndarray, channels: int = 24, seed: int = 1) -> Weight:
    inputs = moments.shape[-1]
    values = np.random.default_rng(seed).laplace(size=(channels, inputs)).astype(np.float32)
    importance = np.diagonal(moments, axis1=-2, axis2=-1)
    if moments.ndim == 3:
        importance = importance.repeat(channels // len(moments), axis=0)
    return Weight(values, 0, importance.reshape(-1, inputs).copy(), SecondMoments(moments))


def nearest(weight: Weight) -> Weight:
    return replace(weight, second_moments=None)


def output_errors(weight: Weight, encoded: Encoded) -> np.ndarray:
    """Mean squared error of each channel's output."""
    error = np.moveaxis(encoded.dequantized().astype(np.float64) - weight.values, weight.axis, 0)
    error = error.reshape(len(error), -1)
    moments = weight.second_moments.matrices.astype(np.float64)
    by_group = error.reshape(len(moments), -1, error.shape[1])
    return np.einsum("gci,gij,gcj->gc", by_group, moments, by_group).reshape(-1)


@pytest.mark.parametrize("codec", CODECS)
def test_the_output_has_much_less_error_than_with_nearest_levels(codec) -> None:
    weight = weight_meeting(moments_of(correlated(2000, 160)))
    by_nearest = output_errors(weight, codec_of(codec).encode(nearest(weight)))
    compensated = output_errors(weight, codec_of(codec).encode(weight))
    # `sparse` gains least: the outliers that it keeps exactly have no error to compensate.
    assert compensated.sum() < 0.55 * by_nearest.sum()
    # The second moments are damped, so this is not strict.
    if codec in EACH_CHANNEL:
        assert (compensated < 1.05 * by_nearest).all()


@pytest.mark.parametrize("codec", CODECS)
def test_it_holds_for_inputs_that_were_not_heard_before(codec) -> None:
    heard, new = correlated(6000, 160)[::2], correlated(6000, 160)[1::2]
    weight = weight_meeting(moments_of(heard))
    later = replace(weight, second_moments=SecondMoments(moments_of(new)))
    by_nearest = output_errors(later, codec_of(codec).encode(nearest(weight)))
    assert output_errors(later, codec_of(codec).encode(weight)).sum() < 0.6 * by_nearest.sum()


@pytest.mark.slow
@settings(deadline=None)
@given(
    shape=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    codec=st.sampled_from(CODECS),
    data=st.data(),
)
def test_the_decoder_gives_the_levels(shape, codec, data, decoded) -> None:
    axis = data.draw(st.integers(0, len(shape) - 1))
    inputs = int(np.prod(shape[:axis] + shape[axis + 1 :]))
    values = np.random.default_rng(0).laplace(size=shape).astype(np.float32)
    weight = Weight(values, axis, None, SecondMoments(moments_of(correlated(50, inputs))))
    made = codec_of(codec)
    encoded = made.encode(weight)
    assert tuple(stored.part for stored in encoded.packed) == made.parts(shape, axis)
    assert encoded.levels.shape == tuple(shape)
    assert (encoded.scale > 0).all()
    if not codec.startswith("blocks"):
        np.testing.assert_array_equal(decoded(made, weight, encoded), encoded.levels)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_stored_blocks_give_the_levels(bits) -> None:
    weight = weight_meeting(moments_of(correlated(500, 72)))
    encoded = codec_of(f"blocks:{bits},block_size=16").encode(weight)
    stored = {part.part.name: np.frombuffer(part.raw, np.uint8) for part in encoded.packed}

    def unpacked(name: str, *shape: int) -> np.ndarray:
        places = np.arange(0, 8, bits)
        digits = stored[name].reshape(24, -1)[..., None] >> places & ((1 << bits) - 1)
        return digits.reshape(24, -1)[:, : int(np.prod(shape))].reshape(24, *shape).astype(int)

    zeros = unpacked("zero_points", 5)[..., None] if bits < 8 else 128
    levels = (unpacked("codes", 5, 16) - zeros) * stored["multipliers"].reshape(24, 5, 1)
    np.testing.assert_array_equal(levels.reshape(24, 80)[:, :72], encoded.levels)


@pytest.mark.parametrize("name", ["mid-tread", "midrise"])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_inputs_that_have_nothing_in_common_take_the_nearest_levels(name, bits) -> None:
    grid = UniformGrid.of(name, bits)
    weight = weight_meeting(3 * np.eye(90, dtype=np.float32))
    levels, scale = round_uniform(weight, grid)
    expected, expected_scale = fit_uniform(weight, grid)
    np.testing.assert_array_equal(levels, expected)
    np.testing.assert_allclose(scale, expected_scale, rtol=2e-3)


def test_before_weights_are_looked_at_again_it_is_gptq(monkeypatch) -> None:
    """As its paper says it: from the inverse of the matrix, one weight after the other."""
    monkeypatch.setattr("quantkit.codecs.compensated._SECOND_LOOKS", 0)
    moments = moments_of(correlated(2000, 40)).astype(np.float64)
    scale = np.full(8, 0.9, np.float32)
    weight = replace(weight_meeting(moments.astype(np.float32), channels=8), scale=scale)
    moments[np.diag_indices(40)] += 0.01 * np.diagonal(moments).mean()
    order = np.argsort(np.diagonal(moments), kind="stable")[::-1]
    root = np.linalg.cholesky(np.linalg.inv(moments[order[:, None], order])).T
    current = weight.values[:, order].astype(np.float64)
    levels = np.empty((8, 40), np.int8)
    grid = UniformGrid(-4, 3)
    for column in range(40):
        found = grid.nearest((current[:, column] / scale).astype(np.float32))
        levels[:, order[column]] = found
        error = (current[:, column] - found * scale) / root[column, column]
        current[:, column:] -= error[:, None] * root[column, column:]
    np.testing.assert_array_equal(round_uniform(weight, grid)[0], levels)


# What is left of eight bits is due to damping.
@pytest.mark.parametrize("codec", [text for text in CODECS if text != "blocks:8"])
def test_a_second_look_takes_off_a_part_of_the_error(codec, monkeypatch) -> None:
    weight = weight_meeting(moments_of(correlated(2000, 150)))

    def error(looks: int) -> float:
        monkeypatch.setattr("quantkit.codecs.compensated._SECOND_LOOKS", looks)
        return float(output_errors(weight, codec_of(codec).encode(weight)).sum())

    assert error(2) < 0.996 * error(0)


@pytest.mark.parametrize("codec", ["bitplane:4", "bitplane:6", "grouped:4", "grouped:6"])
def test_an_estimate_of_the_error_comes_near_to_it(codec) -> None:
    weight = weight_meeting(moments_of(correlated(400, 96)))
    whole = output_errors(weight, codec_of(codec).encode(weight)).sum()
    once = output_errors(weight, codec_of(codec).encode(replace(weight, for_estimate=True))).sum()
    rounded = output_errors(weight, codec_of(codec).encode(nearest(weight))).sum()
    assert whole <= once < 1.5 * whole < rounded


def test_where_looks_change_nothing_no_other_level_is_better(monkeypatch) -> None:
    moments = moments_of(correlated(2000, 40))
    scale = np.full(8, 0.9, np.float32)
    weight = replace(weight_meeting(moments, channels=8), scale=scale)
    monkeypatch.setattr("quantkit.codecs.compensated._SECOND_LOOKS", 50)
    levels = round_uniform(weight, UniformGrid(-4, 3))[0].astype(np.float64)
    damped = moments + 0.01 * np.diagonal(moments).mean() * np.eye(40)

    def error(levels: np.ndarray) -> np.ndarray:
        difference = weight.values - levels * scale[:, None]
        return np.einsum("ci,ij,cj->c", difference, damped, difference)

    best = error(levels)
    for column in range(40):
        for step in (-1, 1):
            other = levels.copy()
            other[:, column] = np.clip(other[:, column] + step, -4, 3)
            assert (error(other) >= best * (1 - 1e-5)).all()


def test_the_scale_is_the_best_for_the_levels() -> None:
    weight = weight_meeting(moments_of(correlated(2000, 90)))
    encoded = codec_of("bitplane:2").encode(weight)
    best = output_errors(weight, encoded)
    for factor in (0.98, 1.02):
        other = replace(encoded, scale=encoded.scale * np.float32(factor))
        assert output_errors(weight, other).sum() > best.sum()


def test_scales_that_were_found_elsewhere_stay() -> None:
    weight = weight_meeting(moments_of(correlated(2000, 90)))
    scale = np.linspace(0.5, 1.5, 24).astype(np.float32)
    encoded = codec_of("bitplane:3").encode(replace(weight, scale=scale))
    np.testing.assert_allclose(encoded.scale, scale, rtol=1e-6)
    by_nearest = codec_of("bitplane:3").encode(replace(nearest(weight), scale=scale))
    assert output_errors(weight, encoded).sum() < 0.5 * output_errors(weight, by_nearest).sum()


@pytest.mark.parametrize("codec", CODECS)
def test_groups_of_channels_each_meet_their_own_inputs(codec) -> None:
    both = np.stack([moments_of(correlated(900, 80, seed)) for seed in (3, 4)])
    weight = weight_meeting(both)
    encoded = codec_of(codec).encode(weight)
    by_nearest = codec_of(codec).encode(nearest(weight))
    exchanged = codec_of(codec).encode(replace(weight, second_moments=SecondMoments(both[::-1])))
    error = output_errors(weight, encoded).sum()
    assert error < 0.7 * output_errors(weight, by_nearest).sum()
    assert error < 0.5 * output_errors(weight, exchanged).sum()


@pytest.mark.parametrize("codec", ["bitplane:3", "codebook:3", "grouped:2", "sparse:3,keep=40"])
def test_inputs_are_in_the_order_of_the_weight_without_its_channels(codec) -> None:
    weight = weight_meeting(moments_of(correlated(900, 60)))
    first = codec_of(codec).encode(weight)
    values = np.moveaxis(weight.values.reshape(24, 12, 5), 0, 1)
    importance = np.moveaxis(weight.importance.reshape(1, 12, 5), 0, 1)
    other = codec_of(codec).encode(Weight(values, 1, importance, weight.second_moments))
    np.testing.assert_array_equal(np.moveaxis(other.levels, 1, 0).reshape(24, 60), first.levels)
    np.testing.assert_array_equal(other.scale, first.scale)


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_weight_gives_the_same_bytes(codec) -> None:
    weight = weight_meeting(moments_of(correlated(500, 72)))
    one, other = (codec_of(codec).encode(weight) for _ in range(2))
    assert one.packed == other.packed
    np.testing.assert_array_equal(one.scale, other.scale)


def test_weights_of_dead_inputs_take_their_nearest_levels() -> None:
    rows = correlated(900, 96)
    rows[:, ::3] = 0
    scale = np.full(24, 0.8, np.float32)
    weight = replace(weight_meeting(moments_of(rows)), scale=scale)
    levels, _ = round_uniform(weight, UniformGrid(-4, 3))
    expected, _ = round_uniform(nearest(weight), UniformGrid(-4, 3))
    np.testing.assert_array_equal(levels[:, ::3], expected[:, ::3])
    assert (levels[:, 1::3] != expected[:, 1::3]).any()


@pytest.mark.parametrize("codec", CODECS)
def test_where_nothing_was_heard_levels_are_the_nearest(codec) -> None:
    weight = weight_meeting(np.zeros((72, 72), np.float32))
    silent = codec_of(codec).encode(weight)
    assert silent.packed == codec_of(codec).encode(nearest(weight)).packed


@pytest.mark.parametrize("codec", CODECS)
def test_one_short_clip_does_no_harm(codec) -> None:
    heard, new = correlated(6000, 160)[:30], correlated(6000, 160)[30:]
    # What the tracker makes of it, see quantkit.calibration.input_moments.
    few = moments_of(heard)
    few = 0.2 * few + 0.8 * np.eye(160, dtype=np.float32) * np.diagonal(few).mean()
    weight = weight_meeting(few)
    later = replace(weight, second_moments=SecondMoments(moments_of(new)))
    by_nearest = output_errors(later, codec_of(codec).encode(nearest(weight)))
    assert output_errors(later, codec_of(codec).encode(weight)).sum() < 0.9 * by_nearest.sum()


@pytest.mark.parametrize("magnitude", [1e-40, 1e-30, 1e30, 1e38])
@pytest.mark.parametrize("codec", ["bitplane:4", "codebook:4", "grouped:4", "blocks:4"])
def test_any_magnitude_is_kept(codec, magnitude) -> None:
    weight = weight_meeting(moments_of(correlated(900, 64)) * 1e10)
    values = (weight.values / np.abs(weight.values).max() * magnitude).astype(np.float32)
    encoded = codec_of(codec).encode(replace(weight, values=values))
    assert np.isfinite(encoded.scale).all()
    assert (encoded.scale > 0).all()
    if magnitude > 1e-36:
        error = encoded.dequantized().astype(np.float64) - values
        assert np.abs(error).max() < magnitude


@pytest.mark.parametrize("codec", CODECS)
def test_silent_channels_beside_loud_ones_stay_silent(codec) -> None:
    weight = weight_meeting(moments_of(correlated(900, 64)))
    weight.values[[1, 5]] = 0
    encoded = codec_of(codec).encode(weight)
    assert np.abs(encoded.dequantized()[[1, 5]]).max() < 1e-3 * np.abs(weight.values).max()


def test_moments_are_not_changed() -> None:
    weight = weight_meeting(moments_of(correlated(900, 64)))
    before = weight.second_moments.matrices.copy()
    codec_of("grouped:2").encode(weight)
    np.testing.assert_array_equal(weight.second_moments.matrices, before)


@pytest.mark.parametrize(("inputs", "group"), [(300, 1), (300, 16), (290, 16), (7, 16), (130, 40)])
def test_the_factor_is_that_of_the_damped_matrix(inputs, group) -> None:
    moments = moments_of(correlated(900, inputs))
    loudness = float(np.diagonal(moments).mean())
    feedback = Feedback.of(moments, loudness, group)
    assert feedback is not None
    product = (feedback.factor.T * feedback.costs) @ feedback.factor
    expected = moments / loudness + 0.01 * np.eye(inputs)
    np.testing.assert_allclose(product, expected[np.ix_(feedback.order, feedback.order)], atol=1e-4)


@pytest.mark.parametrize(("inputs", "group"), [(300, 1), (300, 16), (290, 16), (7, 16), (130, 40)])
def test_every_row_is_in_one_span_and_groups_stay_together(inputs, group) -> None:
    feedback = Feedback.of(np.diag(np.arange(1.0, inputs + 1, dtype=np.float32)), 1.0, group)
    assert feedback is not None
    rows: list[int] = []
    for block, spans in feedback.blocks():
        assert [spans[-1].start, spans[0].stop] == [block.start, block.stop]
        for span in spans:
            rows += range(span.stop - 1, span.start - 1, -1)
            if group > 1:
                assert len(set(feedback.order[span] // group)) == 1
    assert rows == list(range(inputs - 1, -1, -1))
    # The loudest first.
    assert feedback.order[rows[0]] == inputs - 1 or inputs % group


def test_a_matrix_that_is_none_of_second_moments_gives_nearest_levels() -> None:
    moments = -np.eye(40, dtype=np.float32) * 8 + np.float32(10) * np.eye(40, k=1, dtype=np.float32)
    moments = moments + moments.T + np.diag(np.full(40, 17, np.float32))
    assert SecondMoments(moments).feedbacks() is None
    weight = weight_meeting(moments)
    encoded = codec_of("bitplane:3").encode(weight)
    assert encoded.packed == codec_of("bitplane:3").encode(nearest(weight)).packed

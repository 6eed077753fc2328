"""Second moments of a layer's input, from a stream of clips."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.calibration import input_moments as module
from quantkit.calibration.input_moments import (
    PRIOR_ROWS,
    FirstStates,
    InputMoments,
    input_moments,
)
from quantkit.calibration.patches import patches
from quantkit.calibration.spill import Spill
from quantkit.graph.operators import Geometry
from tests.small_model import masked_convolutions

MATRIX = Geometry("value", inputs=7)
IMAGES = Geometry(
    "value",
    inputs=12,
    groups=2,
    axis=1,
    kernel=(2, 3),
    strides=(1, 2),
    dilations=(1, 1),
    padding=((1, 0), (2, 1)),
)


def over_time(
    channels: int = 5, taps: int = 4, *, groups: int = 1, stride: int = 1, dilation: int = 1
) -> Geometry:
    before = (taps - 1) * dilation // 2
    after = (taps - 1) * dilation - before
    return Geometry(
        "value",
        inputs=channels * taps,
        groups=groups,
        axis=1,
        kernel=(taps,),
        strides=(stride,),
        dilations=(dilation,),
        padding=((before, after),),
    )


def loud_then_quiet(*shape: int, seed: int = 0) -> np.ndarray:
    """Like activations behind a ReLU: correlated from frame to frame, and not centered."""
    random = np.random.default_rng(seed)
    values = random.standard_normal(shape)
    values[..., 1:] += 0.8 * values[..., :-1]
    mix = random.standard_normal((shape[1], shape[1]))
    return np.maximum(np.einsum("dc,bc...->bd...", mix, values), 0).astype(np.float32)


def seen(geometry: Geometry, clips: list[np.ndarray]) -> InputMoments:
    moments = InputMoments(geometry)
    for clip in clips:
        moments.update(clip)
    return moments


def products(rows: np.ndarray) -> np.ndarray:
    """(rows, inputs) or (rows, groups, inputs) → sum of x xᵀ, in double precision."""
    rows = rows.astype(np.float64)
    if rows.ndim == 2:
        return rows.T @ rows
    return np.einsum("rgi,rgj->gij", rows, rows)


@pytest.mark.parametrize("geometry", [MATRIX, IMAGES])
def test_moments_are_the_mean_over_all_patches(geometry) -> None:
    shapes = [(1, 9, 7), (1, 4, 7)] if geometry is MATRIX else [(1, 4, 8, 9), (1, 4, 6, 5)]
    clips = [loud_then_quiet(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    rows = np.concatenate([patches(clip, geometry) for clip in clips])
    moments = seen(geometry, clips)
    assert moments.rows == len(rows)
    np.testing.assert_allclose(moments.matrix(), products(rows) / len(rows), rtol=1e-5)
    np.testing.assert_allclose(moments.mean(), rows.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    "geometry",
    [
        over_time(),
        over_time(taps=1),
        over_time(dilation=3),
        over_time(groups=2, channels=3),
        over_time(stride=2),
    ],
)
def test_a_convolution_over_time_counts_every_position_that_touches_the_clip(geometry) -> None:
    channels = geometry.groups * geometry.inputs // geometry.kernel[0]
    clips = [loud_then_quiet(1, channels, frames, seed=frames) for frames in (40, 7, 25)]
    (reach,) = geometry.reach
    everywhere = Geometry(
        "value",
        geometry.inputs,
        geometry.groups,
        axis=1,
        kernel=geometry.kernel,
        strides=(1,),
        dilations=geometry.dilations,
        padding=((reach, reach),),
    )
    rows = np.concatenate([patches(clip, everywhere) for clip in clips])
    expected = products(rows) / sum(clip.shape[2] for clip in clips)
    np.testing.assert_allclose(seen(geometry, clips).matrix(), expected, rtol=1e-4, atol=1e-5)


def test_on_a_long_clip_that_is_what_the_layer_meets() -> None:
    geometry = over_time()
    clip = loud_then_quiet(1, 5, 3000)
    rows = patches(clip, geometry)
    expected = products(rows) / len(rows)
    found = seen(geometry, [clip]).matrix()
    assert np.abs(found - expected).max() < 0.005 * np.abs(expected).max()


def test_the_diagonal_is_the_mean_square_of_each_channel() -> None:
    clips = [loud_then_quiet(1, 5, frames) for frames in (30, 50)]
    every = np.concatenate(clips, axis=2)
    matrix = seen(over_time(), clips).matrix()
    squares = np.square(every).mean(axis=(0, 2)).repeat(4)
    np.testing.assert_allclose(np.diagonal(matrix), squares, rtol=1e-5)


@pytest.mark.parametrize("geometry", [over_time(), over_time(taps=6, dilation=2), MATRIX])
@pytest.mark.parametrize("frames", [1, 3, 40])
def test_it_is_positive_semidefinite_even_about_the_mean(geometry, frames) -> None:
    shape = (1, frames, 7) if geometry is MATRIX else (1, 5, frames)
    moments = seen(geometry, [loud_then_quiet(*shape) + 3])
    slack = 1e-5 * np.trace(moments.matrix())
    for centered in (False, True):
        matrix = moments.matrix(centered=centered).astype(np.float64)
        np.testing.assert_array_equal(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix)[0] > -slack


def test_about_the_mean_it_is_the_covariance() -> None:
    clip = loud_then_quiet(1, 200, 7)
    rows = patches(clip, MATRIX).astype(np.float64)
    covariance = np.cov(rows, rowvar=False, bias=True)
    found = seen(MATRIX, [clip]).matrix(centered=True)
    np.testing.assert_allclose(found, covariance, atol=1e-5 * np.abs(covariance).max())


def test_a_batch_of_clips_counts_like_its_clips() -> None:
    clips = [loud_then_quiet(1, 5, 30, seed=seed) for seed in range(3)]
    batch = seen(over_time(), [np.concatenate(clips)])
    np.testing.assert_allclose(batch.matrix(), seen(over_time(), clips).matrix(), rtol=1e-5)


def test_the_fewer_rows_the_more_it_shrinks_towards_white_noise() -> None:
    clips = [loud_then_quiet(1, 100, 7, seed=seed) for seed in range(20)]
    for some in (1, 20):
        moments = seen(MATRIX, clips[:some])
        plain, shrunk = moments.matrix(), moments.matrix(shrunk=True)
        share = PRIOR_ROWS / (100 * some + PRIOR_ROWS)
        noise = np.eye(7) * np.diagonal(plain).mean()
        np.testing.assert_allclose(shrunk, (1 - share) * plain + share * noise, rtol=1e-5)


def test_of_a_long_clip_some_stretches_are_enough(monkeypatch) -> None:
    clip = loud_then_quiet(1, 5, 4000)
    whole = seen(over_time(), [clip])
    monkeypatch.setattr(module, "_MOST_FRAMES", 1000)
    part = seen(over_time(), [clip])
    assert part.rows <= 1000 < whole.rows
    expected = whole.matrix()
    assert np.abs(part.matrix() - expected).max() < 0.2 * np.abs(expected).max()
    rows = seen(MATRIX, [clip[0].T.reshape(1, -1, 5).repeat(2, axis=2)[..., :7]])
    assert rows.rows <= 1000


def test_nothing_seen_gives_none() -> None:
    for geometry in (MATRIX, over_time()):
        assert InputMoments(geometry).matrix() is None
        assert InputMoments(geometry).mean() is None


def test_values_whose_squares_overflow_give_none() -> None:
    with np.errstate(over="ignore", invalid="ignore"):
        moments = seen(MATRIX, [np.full((1, 3, 7), 1e30, np.float32)])
        assert moments.matrix() is None


def test_memory_of_a_convolution_is_a_taps_th_of_its_matrix() -> None:
    moments = seen(over_time(channels=16, taps=8), [loud_then_quiet(1, 16, 100)])
    assert moments.matrix().size == 8 * moments._sums.products.size


def test_layers_share_a_tracker_where_they_read_the_same_input() -> None:
    model = masked_convolutions()
    names = [node.name for node in model.graph.node if node.op_type == "Conv"]
    twin = onnx.NodeProto()
    twin.CopyFrom(next(node for node in model.graph.node if node.name == names[1]))
    twin.name, twin.output[0] = "twin", "twin.out"
    model.graph.node.append(twin)
    trackers = input_moments(model, [*names, "twin"])
    assert set(trackers) == {*names, "twin"}
    assert trackers["twin"] is trackers[names[1]]
    assert len(set(trackers.values())) == len(names)


def test_a_matrix_that_would_not_fit_is_left_out(monkeypatch) -> None:
    model = masked_convolutions()
    monkeypatch.setattr(module, "LARGEST_MATRIX", 100**2)
    # 24 channels · 7 taps are more than 100 inputs; 32 channels of one tap are not.
    assert set(input_moments(model, ["layer3.conv", "layer6.conv"])) == {"layer6.conv"}


def test_a_layer_without_a_constant_weight_is_left_out() -> None:
    model = masked_convolutions()
    model.graph.node.append(helper.make_node("MatMul", ["logits", "logits"], ["square"], "square"))
    assert input_moments(model, ["square"]) == {}


@pytest.mark.parametrize("geometry", [MATRIX, IMAGES])
def test_large_matrices_lie_on_disk_and_are_the_same(geometry) -> None:
    shape = (2, 7) if geometry is MATRIX else (1, 4, 5, 6)
    clips = [np.random.default_rng(i).standard_normal(shape).astype(np.float32) for i in range(3)]
    held, spill = InputMoments(geometry), Spill(0)
    spilled, other = InputMoments(geometry, spill), InputMoments(geometry, spill)
    assert spilled.matrix() is None
    for clip in clips:
        held.update(clip)
        spilled.update(clip)
        other.update(clip)
        assert spilled.digest() == held.digest()
    for options in ({}, {"centered": True, "shrunk": True}):
        np.testing.assert_array_equal(spilled.matrix(**options), held.matrix(**options))


def test_states_that_are_handed_in_are_what_one_step_meets() -> None:
    """Of a predictor that is run label by label, there are no others."""
    geometry = Geometry("y", inputs=3, steps=(1,), from_zero=False, first="h")
    moments = InputMoments(geometry)
    states = np.random.default_rng(0).standard_normal((1, 5, 3)).astype(np.float32)
    moments.update(np.zeros((1, 1, 5, 3), np.float32))
    assert moments.rows == 0
    FirstStates(moments).update(states)
    assert moments.rows == 5
    found = moments.matrix()
    np.testing.assert_allclose(found, states[0].T @ states[0] / 5, rtol=1e-5)

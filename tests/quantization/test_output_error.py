"""Distances between a layer's float and rounded output."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.quantization.output_error import OUTPUT_ERRORS


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", OUTPUT_ERRORS)
def test_equal_outputs_have_none(name: str) -> None:
    error, output = OUTPUT_ERRORS[name], normal(2, 9, 3)
    np.testing.assert_allclose(error.per_channel(output, output), 0, atol=1e-7)
    assert error.whole(output, output) == pytest.approx(0, abs=1e-7)


def test_cosine_is_that_of_the_angle_between_channels_and_between_whole_outputs() -> None:
    true, rounded = normal(2, 9, 3), normal(2, 9, 3, seed=1)
    found = OUTPUT_ERRORS["cosine"].per_channel(true, rounded)
    a, b = true[1, :, 2].astype(float), rounded[1, :, 2].astype(float)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    a, b = true.ravel().astype(float), rounded.ravel().astype(float)
    expected = 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert OUTPUT_ERRORS["cosine"].whole(true, rounded) == pytest.approx(expected)


def test_cosine_with_channels_of_zeros() -> None:
    true, rounded = normal(1, 9, 3), normal(1, 9, 3)
    true[0, :, 0] = rounded[0, :, 0] = true[0, :, 1] = rounded[0, :, 2] = 0
    found = OUTPUT_ERRORS["cosine"].per_channel(true, rounded)
    assert found.tolist() == [[0, 1, 1]]


def test_hessian_is_the_quadratic_form_of_weight_and_of_input_errors() -> None:
    inputs, weight = normal(1, 50, 6), normal(1, 4, 6, seed=1)
    moved_weight = weight + 0.1 * normal(1, 4, 6, seed=2)
    moved_inputs = inputs + 0.1 * normal(1, 50, 6, seed=3)
    true = inputs @ weight.swapaxes(1, 2)
    error = OUTPUT_ERRORS["hessian"]
    delta = (moved_weight - weight)[0].astype(float)
    hessian = inputs[0].T.astype(float) @ inputs[0]
    np.testing.assert_allclose(
        error.per_channel(true, inputs @ moved_weight.swapaxes(1, 2))[0],
        [row @ hessian @ row for row in delta],
        rtol=1e-4,
    )
    delta = (moved_inputs - inputs)[0].astype(float)
    gram = weight[0].T.astype(float) @ weight[0]
    assert error.whole(true, moved_inputs @ weight.swapaxes(1, 2)) == pytest.approx(
        sum(row @ gram @ row for row in delta) / float((true.astype(float) ** 2).sum()), rel=1e-4
    )


def test_hessian_of_silence_is_finite() -> None:
    zeros = np.zeros((1, 5, 2), np.float32)
    assert OUTPUT_ERRORS["hessian"].whole(zeros, zeros) == 0
    assert OUTPUT_ERRORS["hessian"].whole(zeros, zeros + 1) == 10

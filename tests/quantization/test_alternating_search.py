"""Searches are never worse than no clipping, and clip where it helps."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import quantkit.quantization.alternating_search as alternating_search
from quantkit.calibration.ranges import Range
from quantkit.codecs.uniform import UniformGrid
from quantkit.quantization.alternating_search import Found, Product, round_inputs, search
from quantkit.quantization.output_error import OUTPUT_ERRORS

METHODS = tuple(OUTPUT_ERRORS)
FOUR_BITS = UniformGrid.of("mid-tread", 4)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def layer(seed: int = 0, bits: int = 4, groups: int = 1) -> Product:
    """Inputs as a ReLU leaves them, with a long tail; weights with outliers."""
    inputs = np.maximum(normal(groups, 200, 40, seed=seed), 0) ** 2
    weight = normal(groups, 12, 40, seed=seed + 1) ** 3
    return Product(inputs, weight, UniformGrid.of("mid-tread", bits))


def extremes(*products: Product) -> Range:
    values = np.concatenate([product.inputs.ravel() for product in products])
    return Range(min(float(values.min()), 0.0), max(float(values.max()), 0.0))


def whole_error(products: list[Product], found: Found, bits: int, method: str) -> float:
    return sum(
        OUTPUT_ERRORS[method].whole(
            product.output,
            round_inputs(product.inputs, found.bounds, bits)
            @ product.rounded_weight(steps).swapaxes(1, 2),
        )
        for product, steps in zip(products, found.steps, strict=True)
    )


def searched(products: list[Product], bits: int, method: str) -> Found:
    error = OUTPUT_ERRORS[method]
    return search(products, extremes(*products), bits, step_error=error, bounds_error=error)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("groups", [1, 3])
def test_error_is_less_than_without_clipping(method: str, bits: int, groups: int) -> None:
    product = layer(bits=bits, groups=groups)
    unclipped = Found(extremes(product), (product.unclipped_steps,))
    before = whole_error([product], unclipped, bits, method)
    assert whole_error([product], searched([product], bits, method), bits, method) < before


@pytest.mark.parametrize("method", METHODS)
def test_no_channel_is_worse_than_without_clipping(method: str) -> None:
    product, error = layer(), OUTPUT_ERRORS[method]
    found = search([product], None, 8, step_error=error, bounds_error=None)

    def errors(steps: np.ndarray) -> np.ndarray:
        rounded = product.inputs @ product.rounded_weight(steps).swapaxes(1, 2)
        return error.per_channel(product.output, rounded)

    assert (errors(found.steps[0]) <= errors(product.unclipped_steps)).all()
    assert found.bounds is None


@pytest.mark.parametrize("method", METHODS)
def test_no_share_of_a_thousand_is_noticeably_better(method: str) -> None:
    product, error = layer(), OUTPUT_ERRORS[method]
    (steps,) = search([product], None, 8, step_error=error, bounds_error=None).steps

    def errors(steps: np.ndarray) -> np.ndarray:
        rounded = product.inputs @ product.rounded_weight(steps).swapaxes(1, 2)
        return error.per_channel(product.output, rounded)

    shares = np.linspace(1 / 40, 1, 1000, dtype=np.float32)
    best = np.min([errors(product.unclipped_steps * share) for share in shares], axis=0)
    assert errors(steps).sum() < 1.05 * best.sum()


def test_turns_never_make_the_hessian_error_worse(monkeypatch) -> None:
    products = [layer(seed) for seed in (0, 2)]
    errors = []
    for rounds in range(5):
        monkeypatch.setattr(alternating_search, "_ROUNDS", rounds)
        errors.append(whole_error(products, searched(products, 4, "hessian"), 4, "hessian"))
    assert errors[1] < errors[0]
    assert all(later <= earlier for earlier, later in pairwise(errors))


@pytest.mark.parametrize("method", METHODS)
def test_an_outlier_is_clipped_in_its_own_channel_only(method: str) -> None:
    inputs = normal(1, 500, 64)
    # The outlier meets an input that is next to nothing.
    inputs[..., 0] *= 1e-3
    weight = np.random.default_rng(1).uniform(-1, 1, (1, 3, 64)).astype(np.float32)
    weight[0, 1, 0] = 30.0
    product, error = Product(inputs, weight, FOUR_BITS), OUTPUT_ERRORS[method]
    (steps,) = search([product], None, 8, step_error=error, bounds_error=None).steps
    shares = (steps / product.unclipped_steps)[0]
    assert shares[1] < 0.1
    assert shares[[0, 2]].min() > 0.6


def test_each_end_of_a_range_is_clipped_on_its_own() -> None:
    inputs = np.random.default_rng(0).uniform(-1, 1, (1, 2000, 16)).astype(np.float32)
    inputs[0, 0, 0] = 40.0
    product, error = Product(inputs, normal(1, 8, 16)), OUTPUT_ERRORS["hessian"]
    found = search([product], extremes(product), 4, step_error=None, bounds_error=error)
    assert found.bounds.highest < 4
    assert found.bounds.lowest == pytest.approx(-1, abs=0.1)


def test_a_shared_range_serves_all_of_its_readers() -> None:
    """One reader ignores the input with the large values, the other lives on it."""
    inputs = np.random.default_rng(0).uniform(0, 1, (1, 1000, 8)).astype(np.float32)
    inputs[..., 0] *= 20
    deaf, keen = np.zeros((2, 1, 4, 8), np.float32)
    deaf[..., 1:], keen[..., 0] = normal(1, 4, 7), 1.0
    error = OUTPUT_ERRORS["hessian"]

    def highest(*weights: np.ndarray) -> float:
        products = [Product(inputs, weight) for weight in weights]
        bounds = extremes(*products)
        return search(products, bounds, 4, step_error=None, bounds_error=error).bounds.highest

    assert highest(deaf) < 2
    assert highest(keen) > 15
    assert highest(deaf) < highest(deaf, keen) <= highest(keen)


@pytest.mark.parametrize("method", METHODS)
def test_silence_keeps_what_clips_nothing(method: str) -> None:
    product = Product(np.zeros((1, 5, 40), np.float32), layer().weight, FOUR_BITS)
    found = searched([product], 8, method)
    assert found.bounds == Range(0.0, 0.0)
    np.testing.assert_array_equal(found.steps[0], product.unclipped_steps)


@pytest.mark.parametrize("method", METHODS)
def test_channels_of_zeros_have_no_step(method: str) -> None:
    product = layer()
    product.weight[0, 3] = 0
    found = searched([product], 8, method)
    assert found.steps[0][0, 3] == 0
    assert (np.delete(found.steps[0][0], 3) > 0).all()


def test_nothing_is_searched_where_nothing_is_asked_for() -> None:
    product = layer()
    found = search([product], Range(-1.0, 2.0), 8, step_error=None, bounds_error=None)
    assert found.bounds == Range(-1.0, 2.0)
    np.testing.assert_array_equal(found.steps[0], product.unclipped_steps)


def test_weights_without_levels_stay_as_they_are() -> None:
    product = Product(layer().inputs, layer().weight)
    found = searched([product], 4, "hessian")
    assert found.steps == (None,)
    assert found.bounds.highest < extremes(product).highest

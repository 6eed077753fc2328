"""The posteriors are found among the outputs, and their log-probabilities, on any scale."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from scipy.special import log_softmax, softmax

from quantkit.errors import ModelError
from quantkit.runtime.output_scale import log_probabilities, posterior_output, scale_of

LOGITS = np.random.default_rng(4).standard_normal((2, 9, 6)).astype(np.float32) * 3


def model_with(*kinds: int) -> onnx.ModelProto:
    outputs = [helper.make_tensor_value_info(f"out{i}", kind, None) for i, kind in enumerate(kinds)]
    return helper.make_model(helper.make_graph([], "g", [], outputs))


def test_first_output_of_floating_point_holds_the_posteriors() -> None:
    assert posterior_output(model_with(TensorProto.INT64, TensorProto.FLOAT)) == "out1"
    with pytest.raises(ModelError, match="no output of floating point"):
        posterior_output(model_with(TensorProto.INT64))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        (LOGITS, "logits"),
        (softmax(LOGITS, -1), "probabilities"),
        (log_softmax(LOGITS, -1), "log-probabilities"),
    ],
)
def test_every_scale_leads_to_the_same_log_probabilities(values, scale) -> None:
    assert scale_of(values) == scale
    np.testing.assert_allclose(log_probabilities(values, scale), log_softmax(LOGITS, -1), atol=1e-5)


def test_labels_that_are_ruled_out_stay_so() -> None:
    certain = np.array([[0.0, -np.inf]], np.float32)
    assert scale_of(certain) == "log-probabilities"
    np.testing.assert_array_equal(log_probabilities(certain, "logits"), certain)


def test_numbers_that_overflow_an_exponential_do_no_harm() -> None:
    far = np.array([[1e4, 1e4 - 1.0, -1e4]])
    assert scale_of(far) == "logits"
    np.testing.assert_allclose(np.exp(log_probabilities(far, "logits")).sum(), 1.0)


def test_output_without_labels_is_refused() -> None:
    for values in (np.float32(1.0), np.zeros((3, 0), np.float32)):
        with pytest.raises(ModelError, match="without an axis of labels"):
            scale_of(np.asarray(values))

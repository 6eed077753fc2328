"""Which output holds the posteriors, and the log-probabilities that its numbers stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Array
from quantkit.errors import ModelError

if TYPE_CHECKING:
    import onnx

#: Of the last axis of an output.
Scale = Literal["log-probabilities", "probabilities", "logits"]

# Rows of float32 log-probabilities over 32,000 labels add up to one as well as this.
_TOLERANCE = 1e-3


def posterior_output(model: onnx.ModelProto) -> str:
    """Name of the output that holds the posteriors: the first one of floating point.

    Raises:
        ModelError: there is none.
    """
    # Programs that only run models do without the package.
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    for value in model.graph.output:
        if value.type.tensor_type.elem_type in floats:
            return str(value.name)
    raise ModelError("the model has no output of floating point, so no posteriors to compare")


def scale_of(values: Array) -> Scale:
    """What the last axis of an output holds, judged by the sums of its rows.

    Log-probabilities of two distributions may stand side by side, such as those of a label and of
    its duration: their probabilities add up to two.

    Raises:
        ModelError: the output has no axis of labels.
    """
    if not values.ndim or not values.shape[-1]:
        raise ModelError(f"the posteriors have shape {values.shape}, without an axis of labels")
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    totals = _log_sum_exp(rows)
    if any(np.abs(totals - np.log(sides)).max(initial=0.0) < _TOLERANCE for sides in (1, 2)):
        return "log-probabilities"
    if rows.min(initial=0.0) >= 0.0 and np.abs(rows.sum(axis=1) - 1.0).max() < _TOLERANCE:
        return "probabilities"
    return "logits"


def log_probabilities(values: Array, scale: Scale) -> npt.NDArray[np.float64]:
    """``values`` as natural log-probabilities over their last axis."""
    wide: npt.NDArray[np.float64] = values.astype(np.float64)
    if scale == "probabilities":
        wide = np.log(np.maximum(wide, np.finfo(np.float32).tiny))
    elif scale == "logits":
        wide = wide - _log_sum_exp(wide)[..., None]
    return wide


def _log_sum_exp(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Over the last axis."""
    highest = values.max(axis=-1, initial=-np.inf, keepdims=True)
    # A row of -inf alone has no highest value to subtract.
    highest = np.where(np.isfinite(highest), highest, 0.0)
    with np.errstate(divide="ignore"):
        total: npt.NDArray[np.float64] = np.log(np.exp(values - highest).sum(-1)) + highest[..., 0]
    return total

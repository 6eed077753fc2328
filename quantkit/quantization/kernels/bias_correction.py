"""Biases that make good what rounded weights add to a layer's result on average.

Behind a ReLU no input is negative, so errors of one sign add up; a table of levels that is itself
rounded to int8 makes such errors. A layer whose inputs are zero on average gains nothing.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Encoded
from quantkit.graph.editor import GraphEditor
from quantkit.quantization.weights import WeightStore, placed


def corrected_bias(
    bias: FloatArray, values: FloatArray, encoded: Encoded, mean_input: FloatArray | None
) -> FloatArray:
    """The bias that keeps the mean of the layer's result where it was.

    b − Σⱼ (w̃ⱼ − wⱼ) E[xⱼ] (Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization
    and Bias Correction", equation 17), with the mean input of the calibration clips.

    Args:
        bias: of any shape, one number per output channel.
        values, encoded: the weight, and what became of it.
        mean_input: broadcasts to ``values``; None leaves the bias as it is.
    """
    if mean_input is None:
        return bias
    error = (encoded.dequantized() - values) * mean_input
    others = tuple(i for i in range(values.ndim) if i != encoded.axis)
    shift = error.sum(axis=others, dtype=np.float64).astype(np.float32)
    corrected: FloatArray = bias - shift.reshape(bias.shape)
    return corrected


def store_bias(
    editor: GraphEditor,
    weights: WeightStore,
    layer: str,
    bias: FloatArray,
    values: FloatArray,
    encoded: Encoded,
    mean_input: FloatArray | None,
) -> str:
    """Put the corrected bias of ``layer`` into the graph; returns its name.

    Args:
        bias, values, encoded, mean_input: see :func:`corrected_bias`.
    """
    corrected = corrected_bias(bias, values, encoded, mean_input)
    name = editor.constant(f"{layer}.bias", corrected)
    weights.keep_unmerged(layer, name)
    return name


def correct_added_bias(
    editor: GraphEditor,
    weights: WeightStore,
    node: onnx.NodeProto,
    values: FloatArray,
    encoded: Encoded,
    mean_input: FloatArray | None,
) -> None:
    """Give the ``Add`` behind a ``MatMul`` a corrected bias of its own, where there is one.

    Args:
        node: as the float graph has it, before it is replaced.
        values, encoded, mean_input: see :func:`corrected_bias`.
    """
    place = placed(editor, node).operator.bias_place(editor, node)
    if place is None or not weights.is_corrected(node.name):
        return
    user, position = place
    bias = cast(FloatArray, editor.array(user.input[position]))
    name = store_bias(editor, weights, node.name, bias, values, encoded, mean_input)
    user.input[position] = name

"""File sizes, counted in the three ways in which myQASR's results can be interpreted."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

from onnx import ModelProto, TensorProto

from quantkit.graph.layers import FRONTEND_PREFIX
from quantkit.planning.methods.bit_sequences import Bits

#: ``bytes``: the file itself, to the byte; ``published`` and ``released``: :data:`REST_BYTES`.
SizeCount = Literal["bytes", "published", "released"]
SIZE_COUNTS: tuple[SizeCount, ...] = get_args(SizeCount)

#: What a parameter outside the quantized weights (a bias, a normalisation, an excluded layer)
#: counts for in the computed sizes.
#:
#: ``published``: one byte, as in the paper's figures: Wav2Vec2-Base, 94.4 M parameters, has 90 MiB
#: if its layers have 8 bits, which is one byte for every parameter. ``released``: four, the size of
#: such a parameter in float32. That the released code counts like this is inferred, not verified:
#: the code was not read because of its licence, and its documentation says only that it sums the
#: parameters of the wrapped layers at their bits. Neither count includes scales, zero points,
#: tables or the graph. Sizes are in bytes here: a target of 75 in the paper is a budget of
#: ``75MiB``.
REST_BYTES: Mapping[str, int] = {"published": 1, "released": 4}


def counted_bytes(weights: Mapping[str, int], bits: Bits, others: int, count: SizeCount) -> float:
    """Bytes by one of the computed counts.

    >>> counted_bytes({"a": 1000, "b": 200}, {"a": 5, "b": 4}, 48, "published")
    773.0

    Args:
        weights: how many each quantized layer has.
        others: how many other parameters the model has.
        count: a key of :data:`REST_BYTES`.
    """
    return sum(size * bits[name] for name, size in weights.items()) / 8 + REST_BYTES[count] * others


def float_parameters(model: ModelProto) -> int:
    """How many float32 numbers a float model holds, without the tables of a fused front end."""
    return sum(
        math.prod(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and not tensor.name.startswith(FRONTEND_PREFIX)
    )

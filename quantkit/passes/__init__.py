"""Graph passes for speed: they rewrite exported graphs into forms that ONNX Runtime computes fast.

One pass per file. Each preserves the model's outputs up to rounding and the names of its layers,
uses only operators of ONNX Runtime 1.17, changes the model in place and returns whether it did.
Unused constants stay in the model until :func:`quantkit.quantization.finalize.clean_up`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import onnx

from quantkit.passes.attention import fuse_attention
from quantkit.passes.constant_weights import fold_constant_weights
from quantkit.passes.gelu import canonical_gelu
from quantkit.passes.group_norm import fold_group_norm
from quantkit.passes.nan_guard import drop_nan_guards
from quantkit.passes.normalized_convolution import normalize_in_convolution
from quantkit.passes.quantized_gelu import fuse_quantized_gelu
from quantkit.passes.residual_sum import keep_residual_sums

__all__ = ["FLOAT_PASSES", "QUANTIZED_PASSES", "Pass", "finish", "optimise"]

#: Changes a model in place and returns whether it did.
Pass = Callable[[onnx.ModelProto], bool]

#: For the float graph, before layers are listed, in order.
FLOAT_PASSES: tuple[Pass, ...] = (
    fold_constant_weights,
    fold_group_norm,
    canonical_gelu,
    drop_nan_guards,
    keep_residual_sums,
)

#: For the quantized graph, in order.
QUANTIZED_PASSES: tuple[Pass, ...] = (
    fuse_quantized_gelu,
    normalize_in_convolution,
    fuse_attention,
)


def optimise(model: onnx.ModelProto, skip: Collection[str] = ()) -> tuple[str, ...]:
    """Run the passes for float graphs on ``model``, without those named in ``skip``.

    Returns:
        names of the passes that changed the model.
    """
    return _run(FLOAT_PASSES, model, skip)


def finish(model: onnx.ModelProto, skip: Collection[str] = ()) -> tuple[str, ...]:
    """The same with the passes for quantized graphs."""
    return _run(QUANTIZED_PASSES, model, skip)


def _run(passes: Sequence[Pass], model: onnx.ModelProto, skip: Collection[str]) -> tuple[str, ...]:
    return tuple(each.__name__ for each in passes if each.__name__ not in skip and each(model))

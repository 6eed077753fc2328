"""Layers whose activation range is found at run time."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import unfolds
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.kernels.integer_conv import to_conv_integer
from quantkit.quantization.kernels.integer_matmul import unfold
from quantkit.quantization.weights import WeightStore

# ReduceMax takes its axes as an input from here on; a per-clip range computes them.
_PER_CLIP_OPSET = 18


def quantize_dynamic_layers(
    model: onnx.ModelProto,
    choices: Mapping[str, LayerChoice],
    weights: WeightStore,
) -> None:
    """Rewrite layers of ``model`` in place.

    ``onnxruntime.quantization.quantize_dynamic`` is not used: it knows ``ConvInteger`` only, with
    one scale for a whole weight, and is slower than float32 on int8 weights.

    Args:
        choices: of the layers to rewrite, by name.
        weights: encodes and remembers the weights.

    Raises:
        ModelError: a per-clip range on a model with an opset before 18.
    """
    if not choices:
        return
    editor = GraphEditor(model)
    per_clip = any(choice.dynamic_range == "per-clip" for choice in choices.values())
    if per_clip and editor.opset < _PER_CLIP_OPSET:
        raise ModelError(
            f"a range per clip needs opset {_PER_CLIP_OPSET}, the model has {editor.opset}; "
            "export it anew, or choose a preset with a range per batch, such as int8"
        )
    for node in [n for n in editor.nodes if n.name in choices]:
        choice = choices[node.name]
        rewrite = unfold if unfolds(editor, node) else to_conv_integer
        rewrite(editor, node, choice.dynamic_range, weights, choice.activation_bits)
    editor.finish()

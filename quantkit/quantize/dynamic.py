"""Layers whose activation range is found at run time."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from quantkit.errors import ModelError
from quantkit.quantize.editor import GraphEditor
from quantkit.quantize.integer_conv import to_conv_integer
from quantkit.quantize.integer_matmul import can_unfold, unfold
from quantkit.quantize.settings import DynamicRange

# ReduceMax takes its axes as an input from here on; a per-clip range computes them.
_PER_CLIP_OPSET = 18


def quantize_dynamic_layers(
    model: onnx.ModelProto, names: Iterable[str], dynamic_range: DynamicRange
) -> dict[str, str]:
    """Rewrite the named layers of ``model`` in place.

    ``onnxruntime.quantization.quantize_dynamic`` is not used: it knows ``ConvInteger`` only, with
    one scale for a whole weight, and is slower than float32 on int8 weights.

    Returns:
        the codec of each layer's stored weight by name: ``int8`` or ``uint8``.

    Raises:
        ModelError: a per-clip range on a model with an opset before 18.
    """
    wanted = set(names)
    if not wanted:
        return {}
    editor = GraphEditor(model)
    if dynamic_range == "per-clip" and editor.opset < _PER_CLIP_OPSET:
        raise ModelError(
            f"a range per clip needs opset {_PER_CLIP_OPSET}, the model has {editor.opset}; "
            "export it anew, or choose a preset with a range per batch, such as int8"
        )
    codecs: dict[str, str] = {}
    for node in [n for n in editor.nodes if n.name in wanted]:
        if can_unfold(editor, node):
            unfold(editor, node, dynamic_range)
            codecs[node.name] = "int8"
        else:
            to_conv_integer(editor, node, dynamic_range)
            codecs[node.name] = "uint8"
    editor.finish()
    return codecs

"""Which operators are taken apart, and the going over a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import onnx

from quantkit.conversion.contrib.activations import bias_gelu, fast_gelu, gelu, quick_gelu
from quantkit.conversion.contrib.attention import attention, multi_head_attention
from quantkit.conversion.contrib.blocked import (
    BLOCKED,
    blocked_average_pool,
    blocked_conv,
    blocked_global_pool,
    blocked_max_pool,
    reorder_input,
    reorder_output,
)
from quantkit.conversion.contrib.builder import MICROSOFT, Parts, Unclear
from quantkit.conversion.contrib.normalizations import (
    embed_layer_norm,
    simplified_layer_norm,
    skip_layer_norm,
    skip_simplified_layer_norm,
)
from quantkit.conversion.contrib.products import fused_conv, fused_gemm, fused_matmul
from quantkit.conversion.contrib.rotary import rotary_embedding
from quantkit.conversion.types import inferred_types
from quantkit.graph.dead_code import drop_unread_initializers
from quantkit.graph.editor import GraphEditor

_REWRITINGS: Mapping[tuple[str, str], Callable[[Parts], None]] = {
    (MICROSOFT, "FusedConv"): fused_conv,
    (MICROSOFT, "FusedGemm"): fused_gemm,
    (MICROSOFT, "FusedMatMul"): fused_matmul,
    (MICROSOFT, "TransposeMatMul"): fused_matmul,
    (MICROSOFT, "Gelu"): gelu,
    (MICROSOFT, "BiasGelu"): bias_gelu,
    (MICROSOFT, "FastGelu"): fast_gelu,
    (MICROSOFT, "QuickGelu"): quick_gelu,
    (MICROSOFT, "SkipLayerNormalization"): skip_layer_norm,
    (MICROSOFT, "SkipSimplifiedLayerNormalization"): skip_simplified_layer_norm,
    (MICROSOFT, "EmbedLayerNormalization"): embed_layer_norm,
    (MICROSOFT, "Attention"): attention,
    (MICROSOFT, "MultiHeadAttention"): multi_head_attention,
    (MICROSOFT, "RotaryEmbedding"): rotary_embedding,
    (BLOCKED, "ReorderInput"): reorder_input,
    (BLOCKED, "ReorderOutput"): reorder_output,
    (BLOCKED, "Conv"): blocked_conv,
    (BLOCKED, "MaxPool"): blocked_max_pool,
    (BLOCKED, "AveragePool"): blocked_average_pool,
    (BLOCKED, "GlobalMaxPool"): blocked_global_pool,
    (BLOCKED, "GlobalAveragePool"): blocked_global_pool,
    # ONNX Runtime has it among the standard operators.
    ("", "SimplifiedLayerNormalization"): simplified_layer_norm,
}


def take_apart(model: onnx.ModelProto) -> str:
    """Replace fused operators of ``model``, which has opset 18 or later, in place.

    What cannot be taken apart exactly stays as it is.

    Returns:
        What was done, in words; empty where nothing was.
    """
    done: Counter[str] = Counter()
    # The ranks of more values are known when what computes them is a standard operator.
    while found := _round(model):
        done += found
    if not done:
        return ""
    drop_unread_initializers(model.graph)
    _drop_unused_domain(model)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(done.items()))
    return f"fused operators are taken apart ({counts})"


def _round(model: onnx.ModelProto) -> Counter[str]:
    editor = GraphEditor(model)
    nodes = [
        (scope, node)
        for scope, node in editor.everywhere()
        if (_domain(node), node.op_type) in _REWRITINGS
    ]
    done: Counter[str] = Counter()
    types = inferred_types(model) if nodes else {}
    for scope, node in nodes:
        parts = Parts(scope, node, types)
        try:
            _REWRITINGS[_domain(node), node.op_type](parts)
        # No schema was compared with the attributes of a domain that is not ONNX's.
        except (Unclear, AttributeError, KeyError, TypeError, ValueError):
            continue
        scope.replace(node, parts.nodes)
        done[node.op_type] += 1
    if done:
        editor.finish()
        # What was begun and given up left constants.
        drop_unread_initializers(model.graph)
    return done


def _domain(node: onnx.NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else str(node.domain)


def _drop_unused_domain(model: onnx.ModelProto) -> None:
    used = {_domain(node) for _, node in GraphEditor(model).everywhere()}
    kept = [entry for entry in model.opset_import if entry.domain in (*used, "", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(kept)

"""Attention that ONNX Runtime fused into one node.

Shapes are B clips, S queries, T keys, N heads and H numbers a head.
"""

from __future__ import annotations

import numpy as np

from quantkit.conversion.contrib.builder import Parts, Unclear

_ATTENTION = (
    *("num_heads", "unidirectional", "qkv_hidden_sizes", "scale", "mask_filter_value"),
    *("do_rotary", "rotary_embedding_dim", "past_present_share_buffer"),
)
_MULTI_HEAD = ("num_heads", "unidirectional", "scale", "mask_filter_value")
_MASKED = -10_000.0
_LOWEST = float(np.finfo(np.float32).min)


def attention(parts: Parts) -> None:
    """``Attention``: input (B, S, C), weights and biases of queries, keys and values side by side,
    a mask (B, T) and a bias of the scores; without states."""
    parts.require_only(_ATTENTION, 6, 1)
    if parts.attributes.get("do_rotary") or parts.input(4):
        raise Unclear("it turns its inputs, or has states")
    projected = parts.add("MatMul", [parts.input(0), parts.input(1)], "", parts.node.name)
    if parts.input(2):
        projected = parts.add("Add", [projected, parts.input(2)])
    sizes = parts.attributes.get("qkv_hidden_sizes")
    if not sizes:
        weight = parts.types.get(parts.input(1))
        width = weight.tensor_type.shape.dim[-1].dim_value if weight is not None else 0
        if not width:
            raise Unclear("the size of its weights is not known")
        sizes = [width // 3] * 3
    queries, keys, values = parts.split(projected, sizes)
    heads = int(parts.attributes["num_heads"])
    size = int(sizes[0]) // heads
    _attend(
        parts,
        _heads(parts, queries, heads),
        _heads(parts, keys, heads),
        _heads(parts, values, heads),
        scale=parts.attributes.get("scale") or size**-0.5,
        mask=parts.input(3),
        bias=parts.input(5),
    )


def multi_head_attention(parts: Parts) -> None:
    """``MultiHeadAttention``: queries (B, S, NH), keys and values (B, T, NH) or (B, N, T, H), a
    bias of all three, a mask (B, T), a bias of the scores, and keys and values of before."""
    parts.require_only(_MULTI_HEAD, 8, 3)
    if not (parts.input(1) and parts.input(2)) or parts.rank(parts.input(0)) != 3:
        raise Unclear("its queries, keys and values are packed")
    heads = int(parts.attributes["num_heads"])
    query = parts.types.get(parts.input(0))
    width = query.tensor_type.shape.dim[-1].dim_value if query is not None else 0
    values = [parts.input(position) for position in range(3)]
    if bias := parts.input(3):
        total = parts.types.get(bias)
        length = total.tensor_type.shape.dim[0].dim_value if total is not None else 0
        if not (width and length > 2 * width):
            raise Unclear("the sizes of its biases are not known")
        offsets = parts.split(bias, [width, width, length - 2 * width])
        for position, offset in enumerate(offsets):
            if parts.rank(values[position]) != 3:
                raise Unclear("keys of an earlier run have a bias")
            values[position] = parts.add("Add", [values[position], offset])
    elif not width:
        raise Unclear("the size of its queries is not known")
    queries, keys, found = (
        value if parts.rank(parts.input(position)) == 4 else _heads(parts, value, heads)
        for position, value in enumerate(values)
    )
    keys = _with_past(parts, keys, parts.input(6), parts.output(1))
    found = _with_past(parts, found, parts.input(7), parts.output(2))
    scale = parts.attributes.get("scale") or (width // heads) ** -0.5
    mask, bias = parts.input(4), parts.input(5)
    _attend(parts, queries, keys, found, scale=scale, mask=mask, bias=bias)


def _heads(parts: Parts, value: str, heads: int) -> str:
    """(B, T, NH) → (B, N, T, H)."""
    shaped = parts.add("Reshape", [value, parts.ints(0, 0, heads, -1)])
    return parts.add("Transpose", [shaped], perm=[0, 2, 1, 3])


def _with_past(parts: Parts, value: str, past: str, output: str) -> str:
    if past:
        return parts.add("Concat", [past, value], output, axis=2)
    return parts.add("Identity", [value], output) if output else value


def _attend(
    parts: Parts, queries: str, keys: str, values: str, *, scale: float, mask: str, bias: str
) -> None:
    turned = parts.add("Transpose", [keys], perm=[0, 1, 3, 2])
    scores = parts.add("MatMul", [queries, turned])
    scores = parts.add("Mul", [scores, parts.scalar(scale)])
    if bias:
        scores = parts.add("Add", [scores, bias])
    if mask:
        scores = parts.add("Add", [scores, _masked(parts, mask)])
    if parts.attributes.get("unidirectional"):
        scores = parts.add("Where", [_earlier(parts, scores), scores, parts.scalar(_LOWEST)])
    weights = parts.add("Softmax", [scores], axis=-1)
    mixed = parts.add("MatMul", [weights, values])
    joined = parts.add("Transpose", [mixed], perm=[0, 2, 1, 3])
    parts.add("Reshape", [joined, parts.ints(0, 0, -1)], parts.output(0))


def _masked(parts: Parts, mask: str) -> str:
    """What is added to the scores: (B, 1, 1, T) from the mask, (B, T), of integers."""
    if parts.rank(mask) != 2:
        raise Unclear("its mask counts in another way")
    nothing, much = parts.scalar(0), parts.attributes.get("mask_filter_value", _MASKED)
    seen = parts.add("Greater", [mask, parts.constant(np.int32(0))])
    added = parts.add("Where", [seen, nothing, parts.scalar(much)])
    return parts.add("Unsqueeze", [added, parts.ints(1, 2)])


def _earlier(parts: Parts, scores: str) -> str:
    """(S, T): whether a key stands no later than the query."""
    zero, one = parts.constant(np.int64(0)), parts.constant(np.int64(1))
    axis = parts.ints(0)
    queries, keys = (
        parts.add("Squeeze", [parts.add("Shape", [scores], start=start, end=end), axis])
        for start, end in ((2, 3), (3, 4))
    )
    rows = parts.add("Range", [parts.add("Sub", [keys, queries]), keys, one])
    columns = parts.add("Range", [zero, keys, one])
    return parts.add("GreaterOrEqual", [parts.add("Unsqueeze", [rows, parts.ints(1)]), columns])

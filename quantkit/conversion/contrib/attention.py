"""Attention that ONNX Runtime fused into one node.

Shapes are B clips, S queries, T keys, N heads and H numbers a head.
"""

from __future__ import annotations

import numpy as np
import onnx

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
    a mask, keys and values of before (2, B, N, P, H), and a bias of the scores."""
    parts.require_only(_ATTENTION, 6, 2)
    # ONNX Runtime runs neither on a CPU.
    if parts.attributes.get("do_rotary") or parts.attributes.get("past_present_share_buffer"):
        raise Unclear("it turns its inputs, or shares a buffer")
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
    found = _with_both(
        parts, [_heads(parts, keys, heads), _heads(parts, values, heads)], parts.input(4)
    )
    _attend(
        parts,
        _heads(parts, queries, heads),
        *found,
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


def _with_both(parts: Parts, found: list[str], past: str) -> list[str]:
    """Keys and values with those of before, which are one tensor (2, B, N, P, H)."""
    axis = parts.ints(0)
    if past:
        for position, each in enumerate(found):
            before = parts.add("Gather", [past, parts.constant(np.int64(position))], axis=0)
            found[position] = parts.add("Concat", [before, each], axis=2)
    if present := parts.output(1):
        both = [parts.add("Unsqueeze", [each, axis]) for each in found]
        parts.add("Concat", both, present, axis=0)
    return found


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
        scores = parts.add("Add", [scores, _masked(parts, mask, scores)])
    if parts.attributes.get("unidirectional"):
        scores = parts.add("Where", [_earlier(parts, scores), scores, parts.scalar(_LOWEST)])
    weights = parts.add("Softmax", [scores], axis=-1)
    mixed = parts.add("MatMul", [weights, values])
    joined = parts.add("Transpose", [mixed], perm=[0, 2, 1, 3])
    parts.add("Reshape", [joined, parts.ints(0, 0, -1)], parts.output(0))


def _masked(parts: Parts, mask: str, scores: str) -> str:
    """What is added to the scores (B, N, S, T), for a mask of integers.

    It marks the keys that count as (B, T) or (B, S, T), or says how many do as (B,).
    """
    nothing, much = parts.scalar(0), parts.attributes.get("mask_filter_value", _MASKED)
    rank = parts.rank(mask)
    if rank == 1:
        if not _same_length(parts, mask, parts.input(0)):
            # (2B,) are ends and starts, and (3B + 2,) something else again.
            raise Unclear("its mask counts in another way")
        lengths = parts.add("Unsqueeze", [mask, parts.ints(1)])
        keys = parts.add("Cast", [_keys(parts, scores)], to=onnx.TensorProto.INT32)
        seen = parts.add("Less", [keys, lengths])
    elif rank in (2, 3):
        seen = parts.add("Greater", [mask, parts.constant(np.int32(0))])
    else:
        raise Unclear("its mask has more axes than are known")
    added = parts.add("Where", [seen, nothing, parts.scalar(much)])
    return parts.add("Unsqueeze", [added, parts.ints(1) if rank == 3 else parts.ints(1, 2)])


def _same_length(parts: Parts, mask: str, value: str) -> bool:
    """Whether both are known to have the same number of clips."""
    first, second = (
        parts.types[name].tensor_type.shape.dim[0] if name in parts.types else None
        for name in (mask, value)
    )
    if first is None or second is None:
        return False
    return (first.dim_value, first.dim_param) == (second.dim_value, second.dim_param) and bool(
        first.dim_value or first.dim_param
    )


def _keys(parts: Parts, scores: str) -> str:
    """(T,): 0, 1, … up to the number of keys."""
    zero, one = parts.constant(np.int64(0)), parts.constant(np.int64(1))
    return parts.add("Range", [zero, _size(parts, scores, 3), one])


def _size(parts: Parts, value: str, axis: int) -> str:
    """How long an axis is, as one number."""
    shape = parts.add("Shape", [value], start=axis, end=axis + 1)
    return parts.add("Squeeze", [shape, parts.ints(0)])


def _earlier(parts: Parts, scores: str) -> str:
    """(S, T): whether a key stands no later than the query."""
    queries, keys = _size(parts, scores, 2), _size(parts, scores, 3)
    first = parts.add("Sub", [keys, queries])
    rows = parts.add("Range", [first, keys, parts.constant(np.int64(1))])
    column = parts.add("Unsqueeze", [rows, parts.ints(1)])
    return parts.add("GreaterOrEqual", [column, _keys(parts, scores)])

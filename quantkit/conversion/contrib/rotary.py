"""Rotary positions: pairs of numbers turned by angles that grow with the position.

Reference: J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021,
equation 34.

Shapes are B clips, S steps, N heads, H numbers a head, of which the first R are turned.
"""

from __future__ import annotations

import numpy as np

from quantkit.conversion.contrib.builder import Parts, Unclear

_ATTRIBUTES = ("interleaved", "is_packed_batching", "num_heads", "rotary_embedding_dim", "scale")


def rotary_embedding(parts: Parts) -> None:
    """``RotaryEmbedding``: input (B, S, NH) or (B, N, S, H), positions (B, S) or that of the first
    step (1,), cosines and sines (positions, R/2)."""
    parts.require_only(_ATTRIBUTES, 4, 1)
    if parts.attributes.get("is_packed_batching") or parts.attributes.get("scale", 1.0) != 1:
        raise Unclear("its clips are packed, or its angles scaled")
    by_heads = parts.rank(parts.input(0)) == 4
    half = _half(parts)
    value = parts.input(0)
    if not by_heads:
        heads = int(parts.attributes.get("num_heads", 0))
        shape = parts.ints(0, 0, heads, -1) if heads else parts.ints(0, 0, -1, 2 * half)
        value = parts.add("Reshape", [value, shape])
    rotated = _turned(parts, value, _angles(parts, by_heads=by_heads), half)
    if by_heads:
        parts.add("Identity", [rotated], parts.output(0), parts.node.name)
    else:
        parts.add("Reshape", [rotated, parts.ints(0, 0, -1)], parts.output(0), parts.node.name)


def _half(parts: Parts) -> int:
    """R/2."""
    table = parts.types.get(parts.input(2))
    found = parts.scope.shape(parts.input(2))
    if found is None and table is not None:
        found = tuple(dim.dim_value for dim in table.tensor_type.shape.dim)
    if found is None or len(found) != 2 or not found[1]:
        raise Unclear("the size of its cosines is not known")
    return found[1]


def _angles(parts: Parts, *, by_heads: bool) -> list[str]:
    """Cosines and sines, with an axis of heads."""
    positions = parts.input(1)
    by_clip = parts.rank(positions) == 2
    if not by_clip:
        axis = 2 if by_heads else 1
        steps = parts.add("Shape", [parts.input(0)], start=axis, end=axis + 1)
        first = parts.add("Squeeze", [positions, parts.ints(0)])
        last = parts.add("Add", [first, parts.add("Squeeze", [steps, parts.ints(0)])])
        positions = parts.add("Range", [first, last, parts.constant(np.int64(1))])
    axes = parts.ints((1 if by_heads else 2) if by_clip else (0 if by_heads else 1))
    return [
        parts.add("Unsqueeze", [parts.add("Gather", [parts.input(table), positions]), axes])
        for table in (2, 3)
    ]


def _turned(parts: Parts, value: str, angles: list[str], half: int) -> str:
    """The first R of the last axis turned, the others behind them as they are."""
    rotary = int(parts.attributes.get("rotary_embedding_dim", 0))
    others = ""
    if rotary:
        if rotary != 2 * half:
            raise Unclear("its cosines are of another size than it turns")
        last = parts.ints(-1)
        value, others = (
            parts.add("Slice", [value, parts.ints(start), parts.ints(end), last])
            for start, end in ((0, rotary), (rotary, 2**62))
        )
    cosines, sines = angles
    if parts.attributes.get("interleaved"):
        pairs = parts.add("Reshape", [value, parts.ints(0, 0, 0, half, 2)])
        last = parts.ints(-1)
        first, second = (parts.add("Squeeze", [part, last]) for part in parts.split(pairs, [1, 1]))
    else:
        first, second = parts.split(value, [half, half])
    left = parts.add("Sub", [parts.add("Mul", [first, cosines]), parts.add("Mul", [second, sines])])
    right = parts.add(
        "Add", [parts.add("Mul", [second, cosines]), parts.add("Mul", [first, sines])]
    )
    if parts.attributes.get("interleaved"):
        joined = parts.add(
            "Concat",
            [parts.add("Unsqueeze", [part, parts.ints(-1)]) for part in (left, right)],
            axis=-1,
        )
        turned = parts.add("Reshape", [joined, parts.ints(0, 0, 0, 2 * half)])
    else:
        turned = parts.add("Concat", [left, right], axis=-1)
    return parts.add("Concat", [turned, others], axis=-1) if others else turned

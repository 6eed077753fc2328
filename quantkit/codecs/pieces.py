"""Large weights, decoded in pieces of some rows, each in a folding round of its own.

What a decoder computes on the way is as large as the weight, and a single weight may be a third of
a file, such as the embedding of a Whisper. So a large one is decoded piece by piece, and the pieces
are joined. The packed tensors are those of the whole weight: a piece reads a slice of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Protocol, runtime_checkable

from quantkit.codecs.base import Codec, DecodeBuilder, Part
from quantkit.codecs.divided import Divided, segments_of
from quantkit.codecs.rounds import ROUNDS, delayed, is_delayed

# Weights of a piece, at least: one of fewer than twice as many stays whole.
_FEWEST_WEIGHTS = 4_000_000
# Rows that begin with a byte of their own in every codec: 8 bits fill one, and 5 ternary codes.
_ROW_MULTIPLE = 40


@runtime_checkable
class Sliceable(Protocol):
    """A codec whose packed tensors hold one row of a weight after the other."""

    def stored_along(self, axis: int) -> int:
        """The dimension of these rows, where ``axis`` is that of the output channels."""


def piece_sizes(codec: Codec, shape: Sequence[int], axis: int) -> list[int]:
    """How many weights each piece of a weight has, in order: one, where it stays whole."""
    if segments := segments_of(codec, shape, axis):
        return [
            size for each in segments for size in piece_sizes(each.codec, each.shape, each.axis)
        ]
    dimension, bounds = _bounds(codec, shape, axis)
    row = prod(shape) // max(1, shape[dimension])
    return [row * (end - begin) for begin, end in bounds]


def decode_in_rounds(
    codec: Codec,
    shape: Sequence[int],
    axis: int,
    names: Mapping[str, str],
    zeros: Sequence[str],
    builder: DecodeBuilder,
) -> str:
    """Append nodes that rebuild a weight, each piece in its round; returns the resulting value.

    Args:
        shape, axis, names: see :meth:`~quantkit.codecs.base.Codec.decode`.
        zeros: for each piece of :func:`piece_sizes`, that of its round; see
            :func:`~quantkit.codecs.rounds.round_zeros`.
    """
    if isinstance(codec, Divided) and (segments := segments_of(codec, shape, axis)):
        left, decoded = [*zeros], []
        for each in segments:
            own, place = each.names_in(names), (each.shape, each.axis)
            count = len(piece_sizes(each.codec, *place))
            decoded.append(decode_in_rounds(each.codec, *place, own, left[:count], builder))
            del left[:count]
        return codec.in_order(decoded, shape, axis, names, builder)
    dimension, bounds = _bounds(codec, shape, axis)
    decoded = []
    for (begin, end), zero in zip(bounds, zeros, strict=True):
        read = {}
        for part in codec.parts(shape, axis):
            name = names[part.name]
            if len(bounds) > 1:
                name = _sliced(codec, shape, axis, part, name, (dimension, begin, end), builder)
            read[part.name] = delayed(name, zero, builder) if is_delayed(part) else name
        decoded.append(codec.decode(_resized(shape, dimension, end - begin), axis, read, builder))
    return decoded[0] if len(decoded) == 1 else builder.add("Concat", *decoded, axis=dimension)


def _bounds(codec: Codec, shape: Sequence[int], axis: int) -> tuple[int, list[tuple[int, int]]]:
    """The dimension that is cut, and where each piece begins and ends in it."""
    if not isinstance(codec, Sliceable):
        return 0, [(0, shape[0])]
    dimension = codec.stored_along(axis)
    rows, pieces = shape[dimension], min(ROUNDS, prod(shape) // _FEWEST_WEIGHTS)
    if pieces < 2:
        return dimension, [(0, rows)]
    step = -(-rows // (pieces * _ROW_MULTIPLE)) * _ROW_MULTIPLE
    return dimension, [(begin, min(rows, begin + step)) for begin in range(0, rows, step)]


def _sliced(
    codec: Codec,
    shape: Sequence[int],
    axis: int,
    part: Part,
    name: str,
    rows: tuple[int, int, int],
    builder: DecodeBuilder,
) -> str:
    """What a piece reads of the packed tensor ``name``; all of one that is for the whole weight."""
    dimension, begin, end = rows
    before, until, own = (
        next(
            each.shape
            for each in codec.parts(_resized(shape, dimension, count), axis)
            if each.name == part.name
        )
        for count in (begin, end, end - begin)
    )
    sizes = zip(own, part.shape, strict=True)
    changed = [at for at, (some, every) in enumerate(sizes) if some != every]
    if not changed:
        return name
    (at,) = changed
    places = (before[at], until[at], at)
    return builder.add("Slice", name, *(builder.vector(place) for place in places))


def _resized(shape: Sequence[int], dimension: int, rows: int) -> tuple[int, ...]:
    return (*shape[:dimension], rows, *shape[dimension + 1 :])

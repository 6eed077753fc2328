"""Weights that are stored as several smaller ones, each by a codec of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from quantkit.codecs.base import Codec, DecodeBuilder, Part


@dataclass(frozen=True)
class Segment:
    """Some output channels of a weight.

    Args:
        index: from 0.
        codec: of these channels.
        shape, axis: of the weight that they are by themselves.
    """

    index: int
    codec: Codec
    shape: tuple[int, ...]
    axis: int

    def names_in(self, names: Mapping[str, str]) -> dict[str, str]:
        """Of the parts of this segment, out of those of the weight."""
        return {
            part.name: names[segment_name(self.index, part)]
            for part in self.codec.parts(self.shape, self.axis)
        }


@runtime_checkable
class Divided(Protocol):
    """A codec that stores some weights in segments."""

    def split(self, shape: Sequence[int], axis: int) -> Iterator[Segment]:
        """The segments of such a weight; a single one where it is not divided."""

    def in_order(
        self,
        decoded: Sequence[str],
        shape: Sequence[int],
        axis: int,
        names: Mapping[str, str],
        builder: DecodeBuilder,
    ) -> str:
        """Append the nodes that make the weight of its decoded segments.

        Args:
            decoded: value of each of :meth:`split`.
            shape, axis, names: see :meth:`~quantkit.codecs.base.Codec.decode`.
        """


def segment_name(index: int, part: Part) -> str:
    """What a part of a segment is called among those of the weight."""
    return f"{index}.{part.name}"


def segments_of(codec: object, shape: Sequence[int], axis: int) -> list[Segment]:
    """Of a weight that is divided; empty for any other."""
    found = [*codec.split(shape, axis)] if isinstance(codec, Divided) else []
    return found if len(found) > 1 else []

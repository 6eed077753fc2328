"""Sequences in which layers lose single bits, and the resulting candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat

#: Bits per weight, by layer.
Bits = Mapping[str, int]


def candidates(start: Bits, takes: Iterable[str]) -> Iterator[dict[str, int]]:
    """``start``, and the bits after each removal, largest first.

    >>> list(candidates({"a": 2, "b": 2}, ["b", "a"]))
    [{'a': 2, 'b': 2}, {'a': 2, 'b': 1}, {'a': 1, 'b': 1}]

    Args:
        takes: for each step the layer that loses a bit.
    """
    bits = dict(start)
    yield dict(bits)
    for name in takes:
        bits[name] -= 1
        yield dict(bits)


def in_turn(order: Sequence[str], rounds: int) -> Iterator[str]:
    """One bit from each layer after the other, round after round: myQASR's sequence.

    E. Fish, U. Michieli and M. Ozay, "A Model for Every User and Budget: Label-Free and
    Personalized Mixed-Precision Quantization", Interspeech 2023, algorithm 1. All layers stay
    within one bit of each other; the order decides which ones have the additional bit.

    >>> list(in_turn(["b", "a"], 2))
    ['b', 'a', 'b', 'a']
    """
    return chain.from_iterable(repeat(order, rounds))


def by_value(values: Mapping[str, float], lowest: int, highest: int) -> list[str]:
    """The sequence that lowers bits interpolated linearly between the extremes of the values.

    A layer's bits are ``clip(round(lowest + (highest - lowest) · u + shift), lowest, highest)``,
    where ``u`` runs from 0 at the least to 1 at the greatest value. The ``shift`` decreases from
    the point where all layers have ``highest`` bits to that where all have ``lowest``; each time a
    layer's rounded bits change, it loses one. At shift 0 the extremes have exactly ``lowest`` and
    ``highest``.

    Args:
        values: larger values get more bits.
    """
    least = min(values.values())
    spread = max(values.values()) - least
    span = highest - lowest
    ideal = {
        name: lowest + span * ((value - least) / spread if spread else 0.0)
        for name, value in values.items()
    }
    # Bits fall from m to m - 1 where ideal + shift falls below m - 1/2; ties by value.
    order = sorted(values, key=values.__getitem__)
    falls = [(ideal[name] - bits, name) for bits in range(highest, lowest, -1) for name in order]
    return [name for _, name in sorted(falls, key=lambda fall: fall[0])]

"""Encoded weights are kept by content, those that were used last."""

from __future__ import annotations

import numpy as np

from quantkit.codecs.base import Encoded, Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization.encodings import Encodings, encoding_key

CODEC = CodecChoice.parse("bitplane:4").make()


def encoded(seed: int) -> Encoded:
    values = np.random.default_rng(seed).standard_normal((8, 64)).astype(np.float32)
    return CODEC.encode(Weight(values, 0))


def size() -> int:
    one = encoded(0)
    return one.levels.nbytes + sum(len(part.raw) for part in one.packed)


def made(encodings: Encodings, names: str) -> str:
    """Ask for weights by their names; returns which of them had to be made."""
    fresh = []

    def make(name: str) -> Encoded:
        fresh.append(name)
        return encoded(ord(name))

    for name in names:
        encodings.get(name.encode(), lambda name=name: make(name))
    return "".join(fresh)


def test_nothing_is_made_twice() -> None:
    assert made(Encodings(), "abab") == "ab"


def test_the_one_used_longest_ago_goes_first() -> None:
    encodings = Encodings(memory=2 * size())
    # c takes the place of b, as a was used again.
    assert made(encodings, "abaca") == "abc"
    assert made(encodings, "b") == "b"


def test_without_memory_nothing_is_kept() -> None:
    assert made(Encodings(memory=0), "aa") == "aa"


def test_the_key_is_of_all_that_matters() -> None:
    values = np.ones((2, 3), np.float32)
    key = encoding_key(CODEC, Weight(values, 0), None)
    assert key == encoding_key(CODEC, Weight(values.copy(), 0), None)
    others = {
        encoding_key(CODEC, Weight(values, 1), None),
        encoding_key(CODEC, Weight(values * 2, 0), None),
        encoding_key(CODEC, Weight(values, 0, np.ones((1, 3), np.float32)), None),
        encoding_key(CODEC, Weight(values, 0, scale=np.ones(2, np.float32)), None),
        encoding_key(CODEC, Weight(values, 0, channel_importance=np.ones(2, np.float32)), None),
        encoding_key(CODEC, Weight(values, 0, largest_level=64), None),
        encoding_key(CodecChoice.parse("bitplane:3").make(), Weight(values, 0), None),
    }
    assert len(others | {key}) == 8

"""Storage and compute in words for people who have never quantized anything."""

from __future__ import annotations

from quantkit.graph.plan import Compute

_STORAGE = {
    "float32": "as it was",
    "float16": "floating point of half the size",
    "int16": "evenly spaced levels",
    "int8": "evenly spaced levels",
    "bitplane": "evenly spaced levels",
    "native": "evenly spaced levels",
    "codebook": "levels made for the layer",
    "grouped": "levels made for groups of weights",
    "tiered": "what is said most in more bits than the rest",
    "sparse": "most weights zero, and left out",
    "ternary": "three levels: −1, 0, 1",
    "blocks": "a scale for each block of weights",
}

_COMPUTES: dict[Compute, str] = {
    "float32": "floating point",
    "static": "integers, in a range known from the clips",
    "dynamic": "integers, in a range found while running",
    "matmul-nbits": "floating point, weights unpacked on the way",
}


def storage_in_words(codec: str) -> str:
    """How a codec stores weights; its name where it has no words."""
    return _STORAGE.get(codec, codec)


def compute_in_words(compute: Compute) -> str:
    """Which kernel computes."""
    return _COMPUTES[compute]

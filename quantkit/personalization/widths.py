"""A layer's choice in figures and in words: its weights, their bits, storage and compute."""

from __future__ import annotations

import math

from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.tiered import Tiered
from quantkit.graph.plan import Compute, LayerPlan, Plan

_STORAGE = {
    "float32": "as it was",
    "float16": "floating point of half the size",
    "int16": "evenly spaced levels",
    "int8": "evenly spaced levels",
    "bitplane": "evenly spaced levels",
    "native": "evenly spaced levels",
    "codebook": "levels fitted to the layer",
    "grouped": "levels fitted to groups of weights",
    "powers": "zero and powers of two",
    "rice": "evenly spaced levels, frequent ones in short codes",
    "tiered": "frequent tokens in more bits than the rest",
    "sparse": "most weights zero and not stored",
    "ternary": "three levels: −1, 0, 1",
    "binary": "signs alone",
    "blocks": "a scale for each block of weights",
}

_COMPUTES: dict[Compute, str] = {
    "float32": "floating point",
    "static": "integers, with ranges calibrated on the clips",
    "dynamic": "integers, with ranges computed at run time",
    "matmul-nbits": "floating point, weights unpacked in the kernel",
}


def stored_weights(plan: Plan) -> dict[str, int]:
    """Number of stored weights of each layer.

    0 for a layer that reads the weight of an earlier one, such as the projection of a tied
    embedding. If the bytes of the layers are known, that is a layer of 0 bytes.
    """
    known = any(row.bytes for row in plan.layers)
    return {row.name: math.prod(row.shape) if row.bytes or not known else 0 for row in plan.layers}


def mean_bits(row: LayerPlan) -> float:
    """Bits per weight, over all weights of the layer."""
    tiers = _tiers(row)
    if not tiers:
        return row.bits
    return sum(count * bits for count, bits in tiers) / sum(count for count, _ in tiers)


def bits_in_words(row: LayerPlan) -> str:
    """``2 bits``, ``1.6 bits``, ``1 bit``, or ``8 bits for 2,048 channels, 3 for the rest``."""
    tiers = _tiers(row)
    if not tiers:
        return f"{row.bits:g} bit" if row.bits == 1 else f"{row.bits:g} bits"
    (count, bits), *others = tiers[:-1]
    parts = [f"{bits} bits for {count:,} channels", *(f"{b} for {n:,}" for n, b in others)]
    return f"{', '.join(parts)}, {row.bits:g} for the rest"


def storage_in_words(codec: str) -> str:
    """How a codec stores weights, for people who have never quantized anything.

    The name of the codec where there is no description.
    """
    return _STORAGE.get(codec, codec)


def compute_in_words(compute: Compute) -> str:
    """What a layer computes in, likewise."""
    return _COMPUTES[compute]


def _tiers(row: LayerPlan) -> tuple[tuple[int, int], ...]:
    """Channels and bits of each tier, the rest last; empty if all weights have the same bits."""
    codec = CodecChoice(row.codec, row.bits, row.options).make()
    if not isinstance(codec, Tiered):
        return ()
    # A vocabulary has more labels than weights per label.
    return codec.widths_of(max(row.shape))

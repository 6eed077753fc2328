"""Which processors a file must be right on, and what that leaves of the levels of weights.

On x86 processors with AVX2 or AVX-512 but without VNNI, ONNX Runtime's kernels for uint8
activations and int8 weights add two products in 16 bits (``vpmaddubsw``): 255 · 127 · 2 is more
than 32,767, and the sum stays there. Weights of at most 64 cannot get so far, as 255 · 64 · 2 is
32,640. ARM's kernels, and those of VNNI, add in 32 bits. Which kernels these are, was measured:
:mod:`quantkit.runtime.hosts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

from quantkit.codecs.base import Codec
from quantkit.runtime.hosts import SAFE_LEVEL

#: ``any``: all of the others; ``avx2``: x86 with AVX2 or AVX-512 and without VNNI; ``vnni``: x86
#: with VNNI; ``arm``: 64-bit ARM.
TargetCpu = Literal["any", "avx2", "vnni", "arm"]
TARGET_CPUS: tuple[TargetCpu, ...] = get_args(TargetCpu)

_LARGEST_LEVEL = 127

#: What plans are for that were made before they said it.
UNRESTRICTED: TargetCpu = "vnni"


def restricts(target: TargetCpu) -> bool:
    """Whether levels are limited for the sake of these processors."""
    return target in ("any", "avx2")


def is_fitted(codec: Codec, *, limited: bool) -> bool:
    """Whether levels are so few that rounding is compensated, and biases are corrected.

    Args:
        limited: whether the layer is one of :func:`largest_levels`.
    """
    return codec.name not in ("float16", "float32") and (codec.bits < 8 or limited)


def largest_levels(
    target: TargetCpu,
    integer: Iterable[str],
    groups: Iterable[tuple[str, ...]] = (),
    summed: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, int]:
    """The largest level of the weights that could overflow otherwise, by layer name.

    Args:
        integer: names of the layers that are computed on 8-bit integers.
        groups: of layers that share a weight; if one of them is limited, so are all.
        summed: how many weights of a layer are added up to one byte before they are multiplied.
    """
    largest = SAFE_LEVEL if restricts(target) else _LARGEST_LEVEL
    limits = dict.fromkeys(integer, SAFE_LEVEL) if restricts(target) else {}
    limits |= {name: largest // count for name, count in summed.items()}
    for group in groups:
        if found := [limits[name] for name in group if name in limits]:
            limits |= dict.fromkeys(group, min(found))
    return limits

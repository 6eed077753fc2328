"""Which processors a file must be right on, and which layers that limits."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.choices.target_cpu import (
    TARGET_CPUS,
    TargetCpu,
    is_fitted,
    largest_levels,
    restricts,
)


@pytest.mark.parametrize(
    ("target", "limited"), [("any", True), ("avx2", True), ("vnni", False), ("arm", False)]
)
def test_only_sums_of_16_bits_need_a_limit(target: TargetCpu, limited: bool) -> None:
    assert restricts(target) == limited
    assert largest_levels(target, ["conv"]) == ({"conv": 64} if limited else {})


def test_every_target_is_here() -> None:
    assert TARGET_CPUS == ("any", "avx2", "vnni", "arm")


def test_layers_with_one_weight_are_limited_together() -> None:
    """Else the file would hold it twice."""
    groups = [("embedding", "output"), ("a", "b")]
    assert largest_levels("any", ["output", "conv"], groups) == {
        "embedding": 64,
        "output": 64,
        "conv": 64,
    }


@pytest.mark.parametrize(
    ("compute", "codec", "activation_bits", "range_", "expected"),
    [
        ("static", "int8", 8, "min-max", True),
        ("dynamic", "grouped:4", 8, "dynamic per-clip", True),
        ("float32", "int8", 8, "none", False),
        ("float32", "bitplane:8", 8, "none", False),
        ("matmul-nbits", "blocks:8", 8, "none", False),
        ("static", "int8", 16, "min-max", False),
        ("static", "int16", 8, "min-max", False),
    ],
)
def test_only_kernels_of_bytes_overflow(compute, codec, activation_bits, range_, expected) -> None:
    choice = LayerChoice(compute, CodecChoice.parse(codec), activation_bits, range_)
    assert choice.multiplies_bytes == expected


@pytest.mark.parametrize(
    ("codec", "limited", "expected"),
    [
        ("bitplane:7", False, True),
        ("int8", False, False),
        ("int8", True, True),
        ("float16", True, False),
    ],
)
def test_few_levels_are_fitted_to_what_they_meet(codec, limited, expected) -> None:
    assert is_fitted(CodecChoice.parse(codec).make(), limited=limited) == expected

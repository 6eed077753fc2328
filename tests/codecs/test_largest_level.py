"""Weights whose kernel overflows beyond some level: no codec goes further."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.codecs.base import Weight
from quantkit.codecs.catalogue import NAMES, CodecChoice
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.uniform import UniformGrid

LIMIT = 64
CODECS = [
    "int8",
    "ternary",
    "binary",
    "binary,group_size=24",
    *(f"powers:{bits}" for bits in (2, 3, 4)),
    *(f"bitplane:{bits}" for bits in range(1, 9)),
    *(f"bitplane:{bits},grid=midrise" for bits in (4, 7)),
    *(f"native:{bits}" for bits in (2, 4)),
    *(f"codebook:{bits}" for bits in range(1, 7)),
    "codebook:4,scope=channel",
    "codebook:4,table=normal-float",
    *(f"grouped:{bits}" for bits in range(1, 7)),
    *(f"sparse:{bits},keep=30" for bits in (4, 7, 8)),
    *(f"rice:{bits}" for bits in (2, 3.5, 5)),
    "tiered:4,tiers=4x8+8x7",
]
# What no integer kernel multiplies by uint8: floats, 16 bits, and blocks with their own kernel.
OTHERS = {"float32", "float16", "int16", "blocks"}

RANDOM = np.random.default_rng(3)


def weight(moments: bool, limit: int | None = LIMIT) -> Weight:
    """Heavy tails, so that every codec would like to go far."""
    values = RANDOM.standard_t(3, (24, 96)).astype(np.float32)
    seen = None
    if moments:
        inputs = RANDOM.standard_normal((400, 96)).astype(np.float32) * np.linspace(0.1, 2, 96)
        seen = SecondMoments((inputs.T @ inputs / 400)[None].astype(np.float32))
    return Weight(values, 0, second_moments=seen, largest_level=limit)


def reach(levels: np.ndarray) -> int:
    return int(np.abs(levels.astype(np.int32)).max())


def test_every_codec_is_here() -> None:
    assert {CodecChoice.parse(text).name for text in CODECS} | OTHERS == set(NAMES)


@pytest.mark.parametrize("moments", [False, True], ids=["nearest", "compensated"])
@pytest.mark.parametrize("text", CODECS)
def test_no_level_lies_beyond_the_limit(text: str, moments: bool) -> None:
    encoded = CodecChoice.parse(text).make().encode(weight(moments))
    assert 0 < reach(encoded.levels) <= LIMIT


@pytest.mark.parametrize("text", ["int8", "bitplane:8", "codebook:6", "grouped:4"])
def test_the_decoder_gives_these_levels(text: str, decoded) -> None:
    codec, given = CodecChoice.parse(text).make(), weight(moments=False)
    encoded = codec.encode(given)
    np.testing.assert_array_equal(decoded(codec, given, encoded), encoded.levels)


@pytest.mark.parametrize("text", ["bitplane:7", "bitplane:4", "native:4", "ternary"])
def test_levels_that_are_within_the_limit_anyway_stay(text: str) -> None:
    codec, given = CodecChoice.parse(text).make(), weight(moments=True)
    free = Weight(given.values, 0, second_moments=given.second_moments)
    np.testing.assert_array_equal(codec.encode(given).levels, codec.encode(free).levels)


def test_scales_are_searched_for_the_levels_that_are_left() -> None:
    """Clipping levels that were searched without the limit would err a hundred times as much."""
    given = weight(moments=False)
    codec = CodecChoice.parse("int8").make()
    free = codec.encode(Weight(given.values, 0))
    clipped = np.clip(free.levels, -LIMIT, LIMIT) * free.scale[:, None]
    found = codec.encode(given).dequantized()
    error = np.square(found - given.values).sum()
    assert error < 0.1 * np.square(clipped - given.values).sum()
    assert error < 5 * np.square(free.dequantized() - given.values).sum()


@pytest.mark.parametrize(
    ("grid", "largest", "expected"),
    [
        (UniformGrid(-128, 127), 64, UniformGrid(-64, 64)),
        (UniformGrid(-64, 63), 64, UniformGrid(-64, 63)),
        (UniformGrid(-127, 127, step=2), 64, UniformGrid(-63, 63, step=2)),
        (UniformGrid(-127, 127, step=2), 65, UniformGrid(-65, 65, step=2)),
        (UniformGrid(-128, 127), None, UniformGrid(-128, 127)),
    ],
)
def test_a_grid_is_cut_at_both_ends(grid, largest, expected) -> None:
    assert grid.within(largest) == expected

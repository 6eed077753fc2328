"""A large weight is decoded in pieces, and is the same."""

from __future__ import annotations

import numpy as np
import pytest

from quantkit.codecs.base import DecodeBuilder, Encoded, Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.pieces import decode_in_rounds, piece_sizes
from quantkit.codecs.rounds import ROUNDS, round_zeros

TIERED = "tiered:3,tiers=40x8+600x4"
CODECS = [
    *("bitplane:1", "bitplane:3", "bitplane:7", "codebook:3", "codebook:4", "ternary"),
    *("grouped:1", "grouped:3", "grouped:4,group_size=32", "grouped:6,table_bits=3"),
    *("codebook:2,scope=channel", "codebook:3,scope=channel", TIERED, "rice:2.7"),
    *("powers:3", "binary", "binary,group_size=16"),
]
#: Channels by inputs, none of them a multiple of what a piece has.
SHAPES = [((1003, 37), 0), ((1003, 37), 1), ((37, 1003), 1), ((1003, 5, 3), 0)]


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr("quantkit.codecs.pieces._FEWEST_WEIGHTS", 5_000)
    monkeypatch.setattr("quantkit.codecs.rice._SEGMENT", 5_000)


def encoded(codec_name: str, shape: tuple[int, ...], axis: int) -> Encoded:
    values = np.random.default_rng(0).standard_normal(shape, np.float32)
    return CodecChoice.parse(codec_name).make().encode(Weight(values, axis))


@pytest.mark.parametrize("codec_name", CODECS)
@pytest.mark.parametrize(("shape", "axis"), SHAPES)
@pytest.mark.usefixtures("small_pieces")
def test_the_pieces_join_to_the_weight(codec_name, shape, axis, run_decoder) -> None:
    if codec_name == TIERED and shape[axis] < 1000:
        pytest.skip("more channels in tiers than there are")
    codec, packed = CodecChoice.parse(codec_name).make(), encoded(codec_name, shape, axis)
    sizes = piece_sizes(codec, shape, axis)
    assert sum(sizes) == packed.levels.size

    def unpack(names, builder) -> str:
        zeros = (round_zeros(ROUNDS, builder) * 2)[: len(sizes)]
        return decode_in_rounds(codec, shape, axis, names, zeros, builder)

    np.testing.assert_array_equal(run_decoder(packed.packed, unpack), packed.levels)


@pytest.mark.usefixtures("small_pieces")
def test_a_large_weight_has_a_piece_for_each_round() -> None:
    sizes = piece_sizes(CodecChoice.parse("bitplane:4").make(), (1200, 50), 0)
    assert len(sizes) == ROUNDS
    assert max(sizes) <= 1.2 * 60_000 / ROUNDS


@pytest.mark.usefixtures("small_pieces")
def test_each_tier_has_pieces_of_its_own() -> None:
    sizes = piece_sizes(CodecChoice.parse(TIERED).make(), (1003, 37), 0)
    assert sizes[0] == 40 * 37
    assert sum(sizes[1:5]) == 600 * 37
    assert sum(sizes[5:]) == 363 * 37


@pytest.mark.usefixtures("small_pieces")
def test_segments_of_codes_are_pieces() -> None:
    sizes = piece_sizes(CodecChoice.parse("rice:3").make(), (1200, 50), 0)
    assert sizes == [100 * 50] * 12


@pytest.mark.parametrize("codec_name", ["sparse:4,keep=10", "native:4"])
@pytest.mark.usefixtures("small_pieces")
def test_codecs_that_have_no_rows_stay_whole(codec_name) -> None:
    assert piece_sizes(CodecChoice.parse(codec_name).make(), (1000, 60), 0) == [60_000]


def test_small_weights_stay_whole() -> None:
    codec, shape = CodecChoice.parse("grouped:4").make(), (1000, 64)
    packed, builder = encoded("grouped:4", shape, 0), DecodeBuilder()
    names = {each.part.name: each.part.name for each in packed.packed}
    decode_in_rounds(codec, shape, 0, names, ["zero"], builder)
    assert not {"Slice", "Concat"} & {node.op_type for node in builder.nodes}

"""Codecs by name."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import NAMES, CodecChoice
from quantkit.codecs.codebook import Codebook
from quantkit.errors import InputError

TEXTS = [
    "int8",
    "ternary",
    "bitplane:3",
    "bitplane:2,grid=midrise",
    "codebook:4,scope=channel",
    "grouped:3,group_size=24,table_bits=2",
    "sparse:5,keep=10",
    "powers:3",
    "binary,group_size=64",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_read_is_written(text):
    choice = CodecChoice.parse(text)
    assert str(choice) == text
    assert choice.make().name == choice.name
    assert choice.make().bits == choice.bits


def test_options_reach_the_codec():
    assert CodecChoice.parse("codebook:4, scope=channel").make() == Codebook(4, scope="channel")


@pytest.mark.parametrize("name", NAMES)
def test_every_codec_refuses_options_that_it_does_not_know(name):
    width = "" if name in ("float32", "float16", "int16", "int8", "ternary", "binary") else ":4"
    with pytest.raises(InputError, match="has no option 'colour'"):
        CodecChoice.parse(f"{name}{width},colour=red")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bitplane", "say how many bits, such as bitplane:4"),
        ("bitplane:²", "say how many bits"),
        ("bitplane:9", "no mid-tread grid of 9 bits"),
        ("bitplane:3,grid=round", "choose mid-tread"),
        ("codebook:7", "choose 1 to 6"),
        ("codebook:3,bits=4", "no option 'bits'"),
        ("codebook:3,scope", "is not option=value"),
        ("grouped:3,group_size=many", "group_size must be a whole number, not 'many'"),
        ("sparse:4,keep=2.5", "keep must be a whole number, not '2.5'"),
        ("powers:5", "2 to 4 bits"),
        ("binary:2", "binary always has 1 bits"),
        ("int8:4", "int8 always has 8 bits"),
        ("wavelet:3", "unknown codec 'wavelet'"),
    ],
)
def test_mistakes_are_named(text, problem):
    with pytest.raises(InputError, match=problem):
        CodecChoice.parse(text)


def test_half_bits_are_refused():
    with pytest.raises(InputError, match="has whole bits"):
        CodecChoice("bitplane", 2.5)


@pytest.mark.parametrize("text", ["rice:3", "rice:2.85", "rice:1.5"])
def test_rice_codes_take_any_number_of_bits(text):
    choice = CodecChoice.parse(text)
    assert str(choice) == text
    assert choice.takes_any_bits
    assert choice.make().bits == choice.bits


@pytest.mark.parametrize(
    "text", ["rice:2.855", "grouped:2.5", "rice:1e0", "rice:nan", "rice:.5", "rice"]
)
def test_bits_that_a_codec_cannot_take_are_refused(text):
    with pytest.raises(InputError, match="say how many bits"):
        CodecChoice.parse(text)


def test_bits_of_three_digits_are_refused():
    with pytest.raises(InputError, match="two digits"):
        CodecChoice("rice", 2.855)

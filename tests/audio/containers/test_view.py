"""Pieces of a file as a stream of their own."""

from __future__ import annotations

import io
import os

import pytest

from quantkit.audio.containers.view import View, find

FILE = io.BytesIO(bytes(range(256)) * 10)


def test_pieces_follow_each_other() -> None:
    view = View(FILE, [b"head", (1, 3), b"", (5, 5), (250, 260)])
    expected = b"head\x01\x02" + bytes(range(250, 256)) + bytes(range(4))
    assert view.size == len(expected)
    assert view.read() == expected
    assert view.read() == b""


@pytest.mark.parametrize("position", [0, 3, 4, 5, 6, 11, 15])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_any_part_of_it_can_be_read(position: int, count: int) -> None:
    view = View(FILE, [b"head", (1, 3), (250, 260)])
    whole = view.read()
    assert view.seek(position) == position
    assert view.read(count) == whole[position : position + count]
    assert view.tell() == min(position + count, max(position, len(whole)))


def test_seeking_from_the_end_and_too_far_back() -> None:
    view = View(FILE, [(0, 10)])
    assert view.seek(-3, os.SEEK_END) == 7
    assert view.seek(-100, os.SEEK_CUR) == 7
    assert view.seek(2, os.SEEK_CUR) == 9


@pytest.mark.parametrize("place", [0, 100, (1 << 20) - 2, (1 << 20) + 5, (1 << 21) + 1])
def test_what_is_searched_is_found_across_blocks(place: int) -> None:
    content = bytearray(3 << 20)
    content[place : place + 4] = b"fLaC"
    stream = io.BytesIO(bytes(content))
    assert find(stream, b"fLaC", 0, len(content)) == place
    assert find(stream, b"fLaC", place, len(content)) == place
    assert find(stream, b"fLaC", place + 1, len(content)) == -1
    assert find(stream, b"fLaC", 0, place + 3) == -1

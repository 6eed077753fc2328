"""What metadata say of somebody else's model, read back and refused where it is damaged."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quantkit.errors import FormatError
from quantkit.graph.interface import Declared, Interface, Port

AUDIO = Port("audio", "float32", ("batch", "samples"))
OUTPUT = Port("logits", "float32", ("batch", "frames", "labels"))
INTERFACE = Interface(
    AUDIO,
    OUTPUT,
    "logits",
    lengths=Port("lengths", "int64", ("batch",)),
    stride=160,
    inputs=(Declared("audio", "float16", '["n", null]', computed="float32"),),
    outputs=(Declared("logits", "float32"),),
)


def test_it_is_read_as_it_was_written() -> None:
    assert Interface.from_json(INTERFACE.to_json()) == INTERFACE


@pytest.mark.parametrize(
    "changed",
    [
        {"stride": -1},
        {"steps": "ten"},
        {"scale": "odds"},
        {"unheard-of": 1},
        {"audio": {"name": "audio", "type": "float32", "axes": ["loudness"]}},
        # Half a character, which no name in a file can be.
        {"audio": {"name": "\ud800", "type": "float32", "axes": ["batch", "samples"]}},
        {"inputs": [{"name": "x", "type": "float32", "shape": "3"}]},
        {"inputs": [{"name": "x", "type": "float32", "shape": "[" * 100_000}]},
    ],
)
def test_a_damaged_one_is_refused(changed: dict[str, Any]) -> None:
    content = {**json.loads(INTERFACE.to_json()), **changed}
    with pytest.raises(FormatError, match="interface of the original"):
        Interface.from_json(json.dumps(content))


@pytest.mark.parametrize(
    ("shape", "sizes"), [("", None), ("[]", ()), ('["n", 80, null]', ("n", 80, None))]
)
def test_shapes_are_lists_of_sizes(shape: str, sizes: tuple[Any, ...] | None) -> None:
    assert Declared("x", "float32", shape).sizes == sizes


def test_frames_follow_from_lengths() -> None:
    assert [INTERFACE.frames_of(length) for length in (0, 159, 160, 480)] == [0, 0, 1, 3]

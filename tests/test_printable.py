"""Names that any terminal can show."""

from __future__ import annotations

import json

import pytest

from quantkit.printable import printable


@pytest.mark.parametrize("name", ["clip.wav", "Straße 日本 हिन्दी.wav", "a\u00a0b.wav", ""])
def test_usual_names_stay(name: str) -> None:
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("one\ntwo", r"one\ntwo"),
        ("tab\there", r"tab\there"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("caf\udce9.wav", r"caf\xe9.wav"),
        ("line\u2028two", r"line\u2028two"),
        ("turn\u202egnp.wav", r"turn\u202egnp.wav"),
    ],
)
def test_what_could_do_harm_is_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown
    json.dumps(printable(name), ensure_ascii=False).encode()

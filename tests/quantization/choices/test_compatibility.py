"""What an old runtime cannot do is replaced by what it can."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization.choices.compatibility import fit_to_target
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.runtime.targets import target


def choice(codec: str, compute: str = "static", span: str = "min-max") -> LayerChoice:
    return LayerChoice(compute, CodecChoice.parse(codec), range=span)


@pytest.mark.parametrize(
    ("asked", "version", "codec", "compute"),
    [
        (choice("native:4"), "1.22", "bitplane:4", "static"),
        (choice("native:4"), "1.23", "native:4", "static"),
        (choice("native:2"), "1.23", "bitplane:2", "static"),
        (choice("native:2"), "1.24", "native:2", "static"),
        (choice("grouped:3"), "1.15", "grouped:3", "static"),
        (choice("blocks:4", "matmul-nbits", "none"), "1.17", "blocks:4", "matmul-nbits"),
        (choice("blocks:2", "matmul-nbits", "none"), "1.23", "int8", "dynamic"),
    ],
)
def test_replacements(asked, version, codec, compute) -> None:
    fitting, notes = fit_to_target({"a": asked}, target(version))
    assert (str(fitting["a"].codec), fitting["a"].compute) == (codec, compute)
    assert bool(notes) == (fitting["a"] != asked)

"""What the study of vocabularies quantizes."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the study exports models")

from benchmarks.vocabulary_tiers import CODECS, LAYERS, settings_for
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.layers import Layer


@pytest.mark.parametrize("text", CODECS)
def test_nothing_but_the_vocabulary_is_quantized(text: str) -> None:
    shapes = {LAYERS[0]: (51_865, 512), "decoder.fc1": (512, 2048), LAYERS[1]: (512, 51_865)}
    layers = [
        Layer(i, name, "Gather" if i == 0 else "MatMul", "w", shape, shape[0] * shape[1])
        for i, (name, shape) in enumerate(shapes.items())
    ]
    choices = settings_for(CodecChoice.parse(text)).assign(layers)
    assert {name for name, choice in choices.items() if not choice.is_plain_float} == set(LAYERS)
    assert {choice.compute for choice in choices.values()} == {"float32"}
    assert {str(choices[name].codec) for name in LAYERS} == {text}

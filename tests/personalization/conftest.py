"""A model of four layers, one of which holds most weights, with all that is known about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.plan import LayerPlan, Plan
from quantkit.personalization.summary import PersonalizeSummary, Step
from quantkit.planning.pareto import Front, FrontPoint
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity, WeightDivergence
from tests.small_model import clips, model, source

__all__ = ["clips", "model", "source"]

SHAPES = {"first": (24, 40, 8), "second": (24, 24, 8), "wide": (96, 24, 32), "last": (6, 96, 1)}
# Divergence with two bits; each further bit makes it a quarter.
DIVERGENCES = {"first": 0.08, "second": 0.01, "wide": 0.04, "last": 0.02}
CHOICES = {
    "first": ("int8", 8, "static"),
    "second": ("bitplane", 3, "dynamic"),
    "wide": ("grouped", 2, "static"),
    "last": ("float32", 32, "float32"),
}


def layer_sensitivity(name: str) -> LayerSensitivity:
    codecs = {"grouped": 1.0, "bitplane": 2.0}
    weights = tuple(
        WeightDivergence(
            CodecChoice(codec, bits), factor * DIVERGENCES[name] * 4.0 ** (2 - bits), 0
        )
        for codec, factor in codecs.items()
        for bits in (2, 3, 4, 5)
    )
    outputs, inputs, taps = SHAPES[name]
    return LayerSensitivity(
        name, "Conv", SHAPES[name], outputs * inputs * taps, {"median": 0.1}, weights
    )


@pytest.fixture
def sensitivity() -> Sensitivity:
    layers = tuple(map(layer_sensitivity, SHAPES))
    return Sensitivity("ab" * 32, "cd" * 32, 32, 127.0, {}, layers)


@pytest.fixture
def plan() -> Plan:
    rows = tuple(
        LayerPlan(
            name=name,
            op="Conv",
            shape=SHAPES[name],
            codec=codec,
            bits=bits,
            compute=compute,
            activation_bits=8,
            range="none",
            bytes=1234,
            note="pinned by you" if codec == "float32" else "",
        )
        for name, (codec, bits, compute) in CHOICES.items()
    )
    return Plan(rows, "ab" * 32, "optimal", budget_bytes=60_000, predicted_bytes=54_000)


@pytest.fixture
def front() -> Front:
    points = tuple(FrontPoint(40_000 + 5_000 * i, 0.2 / 2**i, None, {}) for i in range(8))
    return Front("ab" * 32, points)


@pytest.fixture
def summary() -> PersonalizeSummary:
    return PersonalizeSummary(
        model="small recogniser",
        source_bytes=380_000,
        audio="recordings of Anna",
        clips=32,
        seconds=127.0,
        budget_bytes=60_000,
        predicted_divergence=0.02,
        steps=(Step("listen", 3.0), Step("plan", 1.0)),
        warnings=("Left out: broken.wav.",),
    )


@pytest.fixture
def artifact(source, clips, tmp_path: Path) -> Path:
    """A file with packed, plain and float layers."""
    rules = ("1=int8@static", "2=codebook:3@static", "3=bitplane:5@dynamic", "4=float32@float32")
    settings = QuantizeSettings(rules=tuple(map(LayerRule.parse, rules)))
    return quantize_model(source, tmp_path / "user.onnx", settings, clips).path

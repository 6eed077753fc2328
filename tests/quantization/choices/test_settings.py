"""Which layers a pattern picks, and what settings refuse."""

from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.graph.layers import Layer
from quantkit.quantization.choices.presets import DESCRIPTIONS, PRESETS, preset
from quantkit.quantization.choices.settings import QuantizeSettings, match_layers

LAYERS = [
    Layer(0, "layer1.conv", "Conv", "w1", (4, 4, 3), 48),
    Layer(1, "layer2.conv", "Conv", "w2", (4, 4, 3), 48),
    Layer(2, "layer10.conv", "Conv", "w3", (4, 4, 3), 48),
    Layer(3, "head", "MatMul", "w4", (4, 4), 16),
]


def computes(settings: QuantizeSettings, layers: list[Layer] = LAYERS) -> dict[str, str]:
    return {name: choice.compute for name, choice in settings.assign(layers).items()}


@pytest.mark.parametrize(
    ("pattern", "picked"),
    [
        ("layer1.conv", {"layer1.conv"}),
        ("layer?.conv", {"layer1.conv", "layer2.conv"}),
        ("layer1*", {"layer1.conv", "layer10.conv"}),
        ("1", {"layer1.conv"}),
        ("4", {"head"}),
        ("-1", {"head"}),
        ("-4", {"layer1.conv"}),
        ("MatMul", {"head"}),
        ("Conv", {"layer1.conv", "layer2.conv", "layer10.conv"}),
    ],
)
def test_patterns(pattern: str, picked: set[str]) -> None:
    assert match_layers([pattern], LAYERS) == picked


@pytest.mark.parametrize("pattern", ["0", "5", "-5", "layer3.conv", "conv", "x*", ""])
def test_pattern_that_matches_nothing_is_named(pattern: str) -> None:
    with pytest.raises(InputError) as caught:
        match_layers(["1", pattern], LAYERS)
    assert f"pattern {pattern!r} matches no layer" in str(caught.value)
    assert "from 1 to 4 or -1 to -4" in str(caught.value)


def test_operators_decide_and_exclusion_wins() -> None:
    settings = QuantizeSettings(
        compute="static", operators={"MatMul": "dynamic"}, exclude=("layer2.*",)
    )
    assert computes(settings) == {
        "layer1.conv": "static",
        "layer2.conv": "float32",
        "layer10.conv": "static",
        "head": "dynamic",
    }


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"compute": "int8"}, "unknown compute 'int8'; choose one of float32, dynamic, static"),
        ({"operators": {"Conv": "x"}}, "unknown compute 'x'"),
        ({"range": "kl"}, "unknown range 'kl'"),
        ({"dynamic_range": "x"}, "unknown dynamic range"),
        ({"percentile": 50.0}, "percentile must be above 50"),
        ({"percentile": 100.1}, "percentile must be above 50"),
    ],
)
def test_wrong_values(values, message) -> None:
    with pytest.raises(InputError, match=message):
        QuantizeSettings(**values)


def test_presets_are_those_of_the_source_work_and_ours() -> None:
    assert set(PRESETS) == set(DESCRIPTIONS)
    assert {"float32", "int8", "semi-int8", "skip-ends", "static-int8", "dynamic-int8"} < set(
        PRESETS
    )
    assert all(settings.name == name for name, settings in PRESETS.items())
    longer = [*LAYERS, Layer(4, "z", "Conv", "", (), 0)]
    assert computes(preset("skip-ends"), longer) == {
        "layer1.conv": "float32",
        "layer2.conv": "float32",
        "layer10.conv": "dynamic",
        "head": "float32",
        "z": "float32",
    }

"""The table of sensitivities as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import FormatError, InputError
from quantkit.sensitivity.table import (
    ActivationDivergence,
    LayerSensitivity,
    Sensitivity,
    WeightDivergence,
    read_sensitivity,
    write_sensitivity,
)

TABLE = Sensitivity(
    model_sha256="ab" * 32,
    audio_sha256="cd" * 32,
    clips=3,
    seconds=7.5,
    settings={"clips": 32},
    layers=(
        LayerSensitivity(
            "layer1.conv",
            "Conv",
            (8, 4, 3),
            104,
            metrics={"median": 0.25, "sqnr": 18.0},
            weights=(
                WeightDivergence(CodecChoice.parse("grouped:3,group_size=32"), 0.5, 0.01),
                WeightDivergence(CodecChoice.parse("bitplane:4"), 0.1, 0.002, measured=False),
            ),
            activations=(ActivationDivergence("static", 8, 0.001, 1e-5),),
        ),
        LayerSensitivity("output", "MatMul", (8, 2), 16),
    ),
)


def test_it_reads_back_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "sensitivity.json"
    write_sensitivity(TABLE, path)
    assert read_sensitivity(path) == TABLE


def test_a_layer_is_found_by_name() -> None:
    assert TABLE.layer("output").op == "MatMul"
    with pytest.raises(InputError, match="has no layer other"):
        TABLE.layer("other")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text('{"schema": "quantkit.plan/1"}')
    with pytest.raises(FormatError, match=r"quantkit\.plan/1"):
        read_sensitivity(path)


def changed(**fields: Any) -> dict[str, Any]:
    document = TABLE.to_json()
    document["layers"][0].update(fields)
    return document


def test_an_overflow_is_infinitely_far_away() -> None:
    row = {"codec": "int8", "divergence": float("inf"), "noise": 0.5}
    found = Sensitivity.from_json(changed(weights=[row])).layers[0].weights[0]
    assert found.divergence == float("inf")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({**TABLE.to_json(), "layers": 3}, "layers must be a list, not 3"),
        (
            {**TABLE.to_json(), "clips": None},
            "clips is missing",
        ),
        (
            changed(weights=[{"codec": "bitplane:3", "divergence": -0.1, "noise": 0}]),
            "divergence must be at least -1e-06, not -0.1",
        ),
        (
            changed(
                activations=[{"compute": "static", "bits": 8, "divergence": 0, "noise": -1e-9}]
            ),
            "noise must be at least 0, not -1e-09",
        ),
        (changed(shape="wide"), "shape must be a list, not 'wide'"),
        (changed(weights=[{"codec": "morse:3", "divergence": 1, "noise": 0}]), "morse"),
        (
            changed(activations=[{"compute": "abacus", "bits": 8, "divergence": 1, "noise": 0}]),
            "abacus",
        ),
        (
            changed(weights=[{"codec": "int8", "divergence": -0.5, "noise": 0}]),
            "divergence must be at least",
        ),
        (
            changed(weights=[{"codec": "int8", "divergence": float("nan"), "noise": 0}]),
            "divergence must be at least",
        ),
        (
            changed(activations=[{"compute": "static", "bits": 0, "divergence": 1, "noise": 0}]),
            "bits must be at least 1",
        ),
        (
            changed(activations=[{"compute": "static", "bits": 8, "divergence": 1, "noise": -1}]),
            "noise must be at least",
        ),
        (changed(shape=[-1]), "at least 0, not -1"),
        (changed(name="output"), "layer output stands in the sensitivity table twice"),
        ({**TABLE.to_json(), "seconds": -1.0}, "seconds must be at least 0"),
    ],
)
def test_a_damaged_table_is_refused(document: dict[str, Any], named: str) -> None:
    with pytest.raises(FormatError, match=named):
        Sensitivity.from_json(document)

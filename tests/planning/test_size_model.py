"""Predicted sizes against the files that are really built."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from quantkit.codecs.catalogue import FLOAT32, INT8, CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.graph.plan import Structure
from quantkit.planning.size import with_sizes
from quantkit.planning.size_model import SizeModel
from quantkit.quantization import PRESETS
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerChoice
from quantkit.quantization.prepared import PreparedModel
from tests.quantization.test_tied_weights import FORMS, language_model

RANGES = {"static": "min-max", "dynamic": "dynamic per-batch", "float32": "none"}
CODECS = [
    *("int8", "bitplane:1", "bitplane:3", "bitplane:7", "grouped:3", "codebook:4", "native:4"),
    *("codebook:2,scope=channel", "ternary", "sparse:4,keep=10"),
]
#: Where all layers have one kernel; in these models it is a few dozen.
TOLERANCE = 300
#: For each layer whose neighbour has another kernel.
SEAM = 500


def error(sizes: SizeModel, source: Path, choices: dict[str, LayerChoice]) -> int:
    built = with_sizes(source, sizes.plan(choices, "optimal"), budget_bytes=100_000)
    assert built.predicted_bytes is not None
    return sizes.total(choices) - built.predicted_bytes


def choice(codec: str, compute: str) -> LayerChoice:
    return LayerChoice(compute, CodecChoice.parse(codec), range=RANGES[compute])


@pytest.mark.slow
@pytest.mark.parametrize("compute", RANGES)
def test_every_codec_on_every_kernel(compute, source) -> None:
    sizes = SizeModel(source)
    for codec in CODECS:
        choices = dict.fromkeys(sizes.layers, choice(codec, compute))
        assert abs(error(sizes, source, choices)) <= TOLERANCE, codec


@pytest.mark.slow
def test_decoders_in_rounds(source, monkeypatch) -> None:
    monkeypatch.setattr("quantkit.codecs.rounds._FEWEST_WEIGHTS", 0)
    sizes = SizeModel(source)
    for codec in ("bitplane:3", "grouped:3", "sparse:4,keep=10"):
        choices = dict.fromkeys(sizes.layers, choice(codec, "static"))
        assert abs(error(sizes, source, choices)) <= TOLERANCE, codec


@pytest.mark.parametrize("seed", range(3))
def test_mixed_codecs(seed, source) -> None:
    draw, sizes = random.Random(seed), SizeModel(source)
    choices = {name: choice(draw.choice(CODECS), "static") for name in sizes.layers}
    assert abs(error(sizes, source, choices)) <= TOLERANCE


@pytest.mark.parametrize("seed", range(3))
def test_mixed_kernels(seed, source) -> None:
    draw, sizes = random.Random(seed), SizeModel(source)
    choices = {
        name: choice(draw.choice(CODECS), draw.choice(list(RANGES))) for name in sizes.layers
    }
    assert abs(error(sizes, source, choices)) <= SEAM * len(choices)


def test_float_layers(source) -> None:
    sizes = SizeModel(source)
    assert abs(error(sizes, source, dict.fromkeys(sizes.layers, FLOAT_LAYER))) <= TOLERANCE
    halves = LayerChoice("float32", CodecChoice("float16", 16))
    assert abs(error(sizes, source, dict.fromkeys(sizes.layers, halves))) <= TOLERANCE


@pytest.mark.parametrize("activation_bits", [4, 16])
def test_grids_that_take_nodes_of_their_own(activation_bits, source) -> None:
    sizes = SizeModel(source)
    layer = LayerChoice("static", INT8, activation_bits, "min-max")
    assert abs(error(sizes, source, dict.fromkeys(sizes.layers, layer))) <= TOLERANCE


def test_a_range_for_each_clip_takes_its_own_nodes(source) -> None:
    sizes = SizeModel(source)
    layer = LayerChoice("dynamic", CodecChoice.parse("bitplane:3"), range="dynamic per-clip")
    assert abs(error(sizes, source, dict.fromkeys(sizes.layers, layer))) <= TOLERANCE


@pytest.mark.parametrize("form", FORMS)
def test_weight_that_layers_share_counts_once(form, tmp_path) -> None:
    source = tmp_path / "float32.onnx"
    save_model(language_model(form), source)
    sizes = SizeModel(source, PRESETS["hybrid"])
    choices = dict.fromkeys(sizes.layers, choice("bitplane:4", "float32"))
    assert abs(error(sizes, source, choices)) <= TOLERANCE


def test_total_is_base_layers_and_each_table_once(source) -> None:
    sizes = SizeModel(source)
    layer = choice("bitplane:3", "static")
    of_layers = [sizes.tables_of(name, layer) for name in sizes.layers]
    tables = {name: size for each in of_layers for name, size in each.items()}
    assert len(tables) < sum(map(len, of_layers))
    own = sum(sizes.bytes_of(name, layer) for name in sizes.layers)
    choices = dict.fromkeys(sizes.layers, layer)
    assert sizes.total(choices) == sizes.base + own + sum(tables.values())


def test_more_bits_take_more_bytes(source) -> None:
    sizes = SizeModel(source)
    name = "layer4.conv"
    widths = [sizes.bytes_of(name, choice(f"bitplane:{bits}", "static")) for bits in (1, 3, 5, 7)]
    assert widths == sorted(widths)
    assert sizes.bytes_of(name, LayerChoice("float32", FLOAT32)) > widths[-1]


def test_what_was_measured_of_a_model_is_not_measured_again(source: Path, monkeypatch) -> None:
    prepared = PreparedModel(source)
    first = SizeModel(prepared)
    choice = LayerChoice("static", CodecChoice.parse("grouped:3"), range="min-max")
    choices = dict.fromkeys(first.layers, choice)
    size = first.total(choices)
    monkeypatch.setattr("quantkit.planning.size_model.dry_build", None)
    assert SizeModel(prepared).total(choices) == size


def test_another_graph_of_the_model_is_measured_on_its_own(source: Path) -> None:
    def total(prepared: PreparedModel) -> int:
        sizes = SizeModel(prepared)
        choice = LayerChoice("static", CodecChoice.parse("grouped:3"), range="min-max")
        return sizes.total(dict.fromkeys(sizes.layers, choice))

    prepared, lower = PreparedModel(source), {"layer4.conv": Structure(outputs=8)}
    whole, split = total(prepared), total(prepared.structured(lower))
    assert split == total(PreparedModel(source).structured(lower))
    assert whole != split

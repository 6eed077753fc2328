"""Every byte of a file has a kind, and the kinds are the right ones."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
import pytest

from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.graph.artifact import load_model, total_size
from quantkit.graph.layers import find_layers
from quantkit.personalization.size_breakdown import anatomy
from quantkit.quantization import QuantizeSettings, quantize_model
from tests.small_graphs import Graph


def parts_of(path: Path) -> dict[str, int]:
    return {part.kind: part.bytes for part in anatomy(path)}


def test_parts_add_up_to_the_file_most_bytes_first(artifact) -> None:
    parts = anatomy(artifact)
    assert sum(part.bytes for part in parts) == total_size(artifact)
    assert [part.bytes for part in parts] == sorted((p.bytes for p in parts), reverse=True)
    assert all(part.bytes > 0 and part.meaning for part in parts)


def test_a_float_model_is_weights_and_biases(source) -> None:
    layers = find_layers(load_model(source))
    parts = parts_of(source)
    weights = sum(math.prod(layer.shape) for layer in layers)
    assert parts["weights"] == 4 * weights
    assert parts["biases"] == 4 * (sum(layer.parameters for layer in layers) - weights)
    assert not parts.keys() & {"scales", "tables", "decoders", "front end"}


@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_plain_integers_are_a_quarter_with_scales_beside(compute, source, clips, tmp_path) -> None:
    settings = QuantizeSettings(compute=compute, codec=INT8)
    quantize_model(source, tmp_path / "q.onnx", settings, clips)
    before, after = parts_of(source), parts_of(tmp_path / "q.onnx")
    assert 4 * after["weights"] == before["weights"]
    assert after["biases"] == before["biases"]
    channels = before["biases"] // 4
    assert after["scales"] >= 4 * channels


def test_narrow_scales_and_biases_are_what_they_were(tmp_path) -> None:
    graph = Graph()
    graph.linear("x", "layer", 160, 256)
    onnx.save(graph.model("layer.sum", channels=160), source := tmp_path / "float32.onnx")
    quantize_model(source, tmp_path / "q.onnx", QuantizeSettings(compute="dynamic", codec=INT8))
    parts = parts_of(tmp_path / "q.onnx")
    assert parts["weights"] == 160 * 256
    assert parts["biases"] == 2 * 256
    assert 2 * 256 <= parts["scales"] < 2 * 256 + 32


@pytest.mark.parametrize(
    "codec",
    [
        *("bitplane:3", "codebook:3", "native:4", "ternary"),
        pytest.param("grouped:2", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_packed_weights_come_with_decoders(codec, compute, source, clips, tmp_path) -> None:
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    quantize_model(source, tmp_path / "q.onnx", settings, clips)
    before, after = parts_of(source), parts_of(tmp_path / "q.onnx")
    made = settings.codec.make()
    packed = sum(stored_bytes(made, each.shape, 0) for each in find_layers(load_model(source)))
    # Tables of levels are packed with the weights, and a layout may round up to bytes elsewhere.
    assert after["weights"] == pytest.approx(packed, rel=0.08)
    assert after["decoders"] > 0
    assert after["biases"] == before["biases"]


def test_metadata_is_counted(source, artifact) -> None:
    # The artifact carries its plan.
    assert parts_of(artifact)["metadata"] > parts_of(source)["metadata"] > 0

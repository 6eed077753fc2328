"""Equalization and smoothing as one step: what it does, says, and leaves alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from quantkit.calibration.calibrate import Feed
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.equalize.conditioning import condition
from tests.small_graphs import CHANNELS, Graph, run, transformer, values_of
from tests.small_model import masked_convolutions

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((3, 20, CHANNELS)).astype(np.float32)
CLIPS = [(f"clip {i}", {"x": RANDOM.standard_normal((1, 30, CHANNELS), np.float32)}) for i in "ab"]
BOTH = PtqSettings(equalization=True, smoothing=0.5)


def conditioned(
    model: onnx.ModelProto,
    fitting: PtqSettings,
    feeds: Iterable[Feed] | None = CLIPS,
    **settings: Any,
) -> tuple[str, ...]:
    layers = find_layers(model)
    choices = QuantizeSettings(**settings).assign(layers)
    heard = None if feeds is None else CalibrationData.of(feeds, ArtifactInfo())
    return condition(model, layers, choices, heard, fitting)


@pytest.mark.parametrize(
    ("fitting", "notes"),
    [
        (PtqSettings(), ()),
        (PtqSettings(smoothing=0.5), ("smoothed 9 inputs, α 0.5",)),
        (PtqSettings(equalization=True), ("equalized 4 pairs of layers",)),
        (BOTH, ("equalized 4 pairs of layers", "smoothed 5 inputs, α 0.5")),
    ],
)
def test_transformer_keeps_its_function(fitting: PtqSettings, notes: tuple[str, ...]) -> None:
    model = transformer()
    before, forms = run(model, X), shapes(model)
    original = model.SerializeToString()
    assert conditioned(model, fitting) == notes
    np.testing.assert_allclose(run(model, X), before, atol=1e-4)
    assert shapes(model) == forms
    assert (model.SerializeToString() == original) == (not notes)


def shapes(model: onnx.ModelProto) -> list[tuple[Any, ...]]:
    found = [(t.name, t.data_type, tuple(t.dims)) for t in model.graph.initializer]
    return [*found, len(model.SerializeToString())]


def test_convolutions_keep_their_function(clips) -> None:
    model = masked_convolutions()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    assert conditioned(model, BOTH, clips) == ("equalized 5 pairs of layers",)
    weights, before = values_of(model), values_of(copy)
    assert all(not np.allclose(weights[f"w{i}"], before[f"w{i}"]) for i in range(1, 7))
    np.testing.assert_array_equal(weights["b6"], before["b6"])


def test_without_clips_only_weights_are_equalized() -> None:
    model = transformer()
    before = run(model, X)
    assert conditioned(model, BOTH, None, compute="dynamic") == ("equalized 4 pairs of layers",)
    np.testing.assert_allclose(run(model, X), before, atol=1e-4)
    assert conditioned(transformer(), PtqSettings(smoothing=0.5), None, compute="dynamic") == ()


def test_layers_that_stay_float_are_left_alone() -> None:
    assert conditioned(transformer(), BOTH, compute="float32") == ()
    notes = conditioned(transformer(), BOTH, exclude=("block*",))
    assert notes == ("smoothed 1 input, α 0.5",)


def test_smoothing_is_for_activations_on_one_grid() -> None:
    settings = {"compute": "float32", "codec": CodecChoice.parse("bitplane:4")}
    assert conditioned(transformer(), PtqSettings(smoothing=0.5), **settings) == ()
    settings["rules"] = (LayerRule.parse("head=int8@dynamic"),)
    notes = conditioned(transformer(), PtqSettings(smoothing=0.5), **settings)
    assert notes == ("smoothed 1 input, α 0.5",)


@pytest.mark.parametrize("form", ["equal", "transposed"])
def test_shared_weight_stays(form: str) -> None:
    graph = Graph()
    first = graph.linear("x", "first", CHANNELS, CHANNELS)
    relu = graph.add("Relu", [first], "relu")
    second = graph.linear(relu, "second", CHANNELS, CHANNELS)
    weight = graph.constants["second.w"]
    graph.constant("tied", weight.copy() if form == "equal" else weight.T.copy())
    graph.add("MatMul", [second, "tied"], "y")
    model = graph.model("y")
    assert conditioned(model, PtqSettings(equalization=True)) == ()


def test_no_clips_at_all() -> None:
    with pytest.raises(CorpusError, match="at least one clip"):
        conditioned(transformer(), BOTH, [])


@pytest.mark.slow
@pytest.mark.parametrize("fitting", [PtqSettings(), BOTH])
@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_size_is_what_was_foreseen(fitting: PtqSettings, compute, tmp_path: Path) -> None:
    path = tmp_path / "float32.onnx"
    save_model(transformer(), path)
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse("bitplane:3"))
    plan = with_sizes(path, settings, fitting=fitting)
    result = quantize_model(path, tmp_path / "q.onnx", plan, CLIPS)
    assert result.size_bytes == plan.predicted_bytes
    assert len(result.conditioned) == (2 if fitting == BOTH else 0)

"""Fewer bits of the inputs of long convolutions, measured with the weights that go with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.info import ArtifactInfo
from quantkit.json_fields import Fields
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.kernels import fast_fir
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.divergence import Divergences, measure_divergence
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.table import ActivationDivergence
from tests.quantization.kernels.test_fast_fir import CLIPS, two_convolutions

CODECS = tuple(map(CodecChoice.parse, ("bitplane:3", "grouped:4", "bitplane:6", "int8")))
SETTINGS = DivergenceSettings(CODECS, weighting="uniform", faster_inputs=True, threads=1)
FEEDS = CalibrationData(CLIPS, ArtifactInfo())


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> onnx.ModelProto:
    """With a convolution that is computed faster with 7 bits, and with 6."""
    monkeypatch.setattr(fast_fir, "_FEWEST_WEIGHTS", 2000)
    monkeypatch.setattr(fast_fir, "_FEWEST_TAPS", 2)
    made = two_convolutions()
    made.graph.node[-1].output[0] = "labels"
    made.graph.node.append(helper.make_node("Transpose", ["labels"], ["rows"], perm=[0, 2, 1]))
    made.graph.node.append(helper.make_node("LogSoftmax", ["rows"], ["y"], axis=-1))
    return made


def measured(
    model: onnx.ModelProto,
    folder,
    settings: DivergenceSettings = SETTINGS,
    fitting: PtqSettings | None = None,
    cache: AnalysisCache | None = None,
) -> dict[str, Divergences]:
    fitting = fitting or PtqSettings()
    source = folder / "float32.onnx"
    onnx.save(model, source)
    prepared = prepare(source, QuantizeSettings(compute="static", codec=CODECS[0]))
    seen = observe(prepared.model, prepared.layers, prepared.choices, FEEDS, fitting)
    return measure_divergence(
        prepared.model,
        prepared.layers,
        FEEDS,
        settings,
        observations=seen,
        fitting=fitting,
        cache=cache,
    )


def grids(found: Divergences) -> dict[tuple[str, int], ActivationDivergence]:
    return {(each.compute, each.bits): each for each in found[1]}


def test_only_layers_that_get_faster_are_tried_with_fewer_bits(model, tmp_path) -> None:
    found = measured(model, tmp_path)
    usual = [("static", 8), ("dynamic", 8)]
    assert list(grids(found["long"])) == [*usual, ("static", 7), ("static", 6)]
    assert all(list(grids(found[name])) in (usual, usual[1:]) for name in ("short", "last"))
    by_bits = [grids(found["long"])["static", bits].divergence for bits in (8, 7, 6)]
    assert by_bits == sorted(by_bits)
    assert by_bits[0] > 0


def test_without_being_asked_for_nothing_is_tried(model, tmp_path) -> None:
    found = measured(model, tmp_path, replace(SETTINGS, faster_inputs=False))
    assert list(grids(found["long"])) == [("static", 8), ("dynamic", 8)]


def test_codecs_of_more_levels_than_fit_do_what_fewer_levels_do(model, tmp_path) -> None:
    found = measured(model, tmp_path, fitting=PtqSettings(target_cpu="vnni"))["long"]
    usual = {str(each.codec): each for each in found[0]}
    assert grids(found)["static", 8].weights is None
    # Levels to 31, as bitplane:6 has them.
    fewer = {str(each.codec): each for each in grids(found)["static", 6].weights or ()}
    assert list(fewer) == list(usual)
    assert fewer["bitplane:3"] == usual["bitplane:3"]
    # It has 32 of negative weights, too.
    assert fewer["bitplane:6"].noise == pytest.approx(usual["bitplane:6"].noise, rel=0.2)
    assert fewer["int8"].noise > 4 * usual["int8"].noise
    assert fewer["int8"].noise == pytest.approx(usual["bitplane:6"].noise, rel=0.5)
    assert fewer["int8"].divergence > usual["int8"].divergence
    assert not fewer["int8"].measured


def test_entries_are_read_back(model, tmp_path) -> None:
    for each in measured(model, tmp_path)["long"][1]:
        assert ActivationDivergence.from_json(Fields(each.to_json(), "a row")) == each


def test_layers_that_get_no_faster_are_not_measured_again(model, tmp_path, monkeypatch) -> None:
    cache = AnalysisCache(tmp_path / "cache", model_sha256="ab", audio_sha256="cd")
    usual = measured(model, tmp_path, replace(SETTINGS, faster_inputs=False), cache=cache)
    asked = []
    from quantkit.sensitivity.divergence import _Pass

    measure = _Pass.measure
    monkeypatch.setattr(
        _Pass,
        "measure",
        lambda self, layer, found: asked.append(layer.name) or measure(self, layer, found),
    )
    found = measured(model, tmp_path, cache=cache)
    assert asked == ["long"]
    assert found["short"] == usual["short"]
    np.testing.assert_allclose(
        [each.divergence for each in found["long"][0]],
        [each.divergence for each in usual["long"][0]],
    )

"""Each layer's divergence is what really quantizing that layer alone does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantkit.calibration.data import CalibrationData
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import FLOAT32, CodecChoice
from quantkit.errors import ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.layers import find_layers
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.runtime.session import create_session
from quantkit.sensitivity import divergence as module
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.divergence import measure_divergence
from quantkit.sensitivity.divergence_settings import DivergenceSettings, Effort
from tests.sensitivity.graphs import attention, residual, tied

CODECS = tuple(CodecChoice.parse(f"bitplane:{bits}") for bits in (2, 3, 4, 6))
SETTINGS = DivergenceSettings(CODECS, weighting="uniform", probes=4, threads=2)


def feeds_of(build, count: int = 3) -> CalibrationData:
    return CalibrationData(
        [(f"clip{i}", build(frames=10 + 7 * i)[1]) for i in range(count)], ArtifactInfo()
    )


def measured(model: onnx.ModelProto, feeds: CalibrationData, settings=SETTINGS, **options):
    known = {"observations": Observations(), "fitting": PtqSettings(), **options}
    return measure_divergence(model, find_layers(model), feeds, settings, **known)


def log_softmax(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))


def brute_force(float_path: Path, other_path: Path, feeds: CalibrationData, output: str) -> float:
    """KL of two whole models, straight from its definition."""
    sessions = [create_session(path) for path in (float_path, other_path)]
    total, frames = 0.0, 0
    for _, feed in feeds:
        p, q = (log_softmax(session.run([output], feed)[0]) for session in sessions)
        total += float((np.exp(p) * (p - q)).sum())
        frames += p[..., 0].size
    return total / frames


@pytest.mark.slow
@pytest.mark.parametrize("build", [residual, attention, tied])
def test_equals_quantizing_the_layer_and_running_the_whole_model(build, tmp_path) -> None:
    model, _ = build()
    feeds = feeds_of(build)
    source = tmp_path / "float32.onnx"
    onnx.save(model, source)
    settings = QuantizeSettings(compute="static", codec=CODECS[1])
    prepared = prepare(source, settings)
    observations = observe(prepared.model, prepared.layers, prepared.choices, feeds, PtqSettings())
    found = measured(prepared.model, feeds, observations=observations)
    output = model.graph.output[0].name
    groups = {
        "rows.node": ("rows.node", "logits.node"),
        "logits.node": ("rows.node", "logits.node"),
    }
    for layer in prepared.layers:
        others = [
            n.name for n in prepared.layers if n.name not in groups.get(layer.name, layer.name)
        ]
        for result in found[layer.name][0]:
            alone = QuantizeSettings(compute="float32", codec=result.codec, exclude=tuple(others))
            path = tmp_path / "alone.onnx"
            quantize_model(source, path, alone, feeds)
            expected = brute_force(source, path, feeds, output)
            assert result.divergence == pytest.approx(expected, rel=2e-3, abs=1e-7)
            assert result.measured


@pytest.mark.slow
def test_clips_can_meet_weights_that_were_fitted_without_them(tmp_path: Path) -> None:
    model, _ = attention()
    feeds, fitting = feeds_of(attention, 2), PtqSettings(bias_correction=False)
    onnx.save(model, tmp_path / "float32.onnx")
    settings = QuantizeSettings(compute="static", codec=CODECS[1])
    prepared = prepare(tmp_path / "float32.onnx", settings)
    seen = [
        observe(prepared.model, prepared.layers, prepared.choices, feeds.only([clip]), fitting)
        for clip in range(2)
    ]
    options = {"observations": seen[0], "fitting": fitting}
    together = measured(model, feeds, held_out=(seen[1], seen[0]), **options)
    fitted = measured(model, feeds, **options)
    alone = [
        measured(model, feeds.only([clip]), observations=seen[1 - clip], fitting=fitting)
        for clip in range(2)
    ]
    frames = [10, 17]
    for name, (weights, _) in together.items():
        for index, weight in enumerate(weights):
            own = [found[name][0][index].divergence for found in alone]
            assert weight.divergence == pytest.approx(np.average(own, weights=frames), rel=1e-3)
        assert fitted[name][0] != weights


def test_fewer_bits_move_the_posteriors_more() -> None:
    model, _ = attention()
    for weights, _ in measured(model, feeds_of(attention)).values():
        assert [each.codec for each in weights] == list(CODECS)
        divergences = [each.divergence for each in weights]
        assert divergences == sorted(divergences, reverse=True)
        noises = [each.noise for each in weights]
        assert noises == sorted(noises, reverse=True)
        assert divergences[0] > 30 * divergences[-1] > 0


def test_weight_as_it_is_moves_nothing() -> None:
    model, _ = residual()
    settings = DivergenceSettings((FLOAT32,))
    for (weight,), _ in measured(model, feeds_of(residual), settings).values():
        assert weight.noise == 0.0
        assert weight.divergence < 1e-9


def test_activations_on_finer_grids_move_less() -> None:
    model, _ = attention()
    settings = DivergenceSettings(CODECS[:1], activation_bits=(3, 8))
    for _, activations in measured(model, feeds_of(attention), settings).values():
        kinds = [(each.compute, each.bits) for each in activations]
        assert kinds == [("static", 3), ("static", 8), ("dynamic", 3), ("dynamic", 8)]
        for coarse, fine in (activations[:2], activations[2:]):
            assert coarse.divergence > 30 * fine.divergence > 0
            assert coarse.noise > 30 * fine.noise > 0


def test_layer_that_no_integer_kernel_serves_has_no_grids() -> None:
    model, _ = tied()
    found = measured(model, feeds_of(tied))
    assert found["rows.node"][1] == ()
    assert len(found["logits.node"][1]) == 2


def test_layers_that_share_a_weight_stand_for_each_other() -> None:
    model, _ = tied()
    found = measured(model, feeds_of(tied))
    assert found["rows.node"][0] == found["logits.node"][0]


def test_spilling_and_threads_change_nothing() -> None:
    model, _ = residual()
    feeds = feeds_of(residual)
    expected = measured(model, feeds)
    assert measured(model, feeds, replace(SETTINGS, memory=0, threads=1)) == expected


def test_layer_that_the_posteriors_do_not_depend_on_shows_zeros() -> None:
    model, _ = residual()
    node = onnx.helper.make_node("Conv", ["r1", "aside.w"], ["aside"], "aside.node")
    model.graph.node.append(node)
    model.graph.initializer.append(
        numpy_helper.from_array(np.ones((4, 16, 3), np.float32), "aside.w")
    )
    weights, activations = measured(model, feeds_of(residual))["aside.node"]
    assert {each.divergence for each in (*weights, *activations)} == {0.0}


def test_interrupted_pass_goes_on_at_the_next_layer(tmp_path, monkeypatch) -> None:
    model, _ = attention()
    feeds = feeds_of(attention)
    expected = measured(model, feeds)
    cache = AnalysisCache(tmp_path)
    seen: list[tuple[str, float]] = []

    def interrupt(stage: str, share: float) -> None:
        seen.append((stage, share))
        if share == 4 / 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(model, feeds, cache=cache, progress=interrupt)
    assert seen[4] == ("divergence", 4 / 7)
    seen.clear()
    again = measured(model, feeds, cache=cache, progress=lambda *each: seen.append(each))
    assert again == expected
    assert [share for _, share in seen] == [4 / 7, 5 / 7, 6 / 7]
    monkeypatch.setattr(module, "Walk", None)
    assert measured(model, feeds, cache=cache) == expected


def test_other_settings_are_measured_anew(tmp_path) -> None:
    model, _ = residual()
    feeds = feeds_of(residual)
    cache = AnalysisCache(tmp_path)
    measured(model, feeds, cache=cache)
    other = replace(SETTINGS, candidates=CODECS[:1])
    assert all(len(w) == 1 for w, _ in measured(model, feeds, other, cache=cache).values())


def test_candidates_that_are_not_run_follow_from_their_noise() -> None:
    model, _ = attention(frames=40)
    feeds = feeds_of(attention, 6)
    exact = measured(model, feeds)
    estimated = measured(model, feeds, replace(SETTINGS, probes=3))
    ratios = []
    for name, (weights, _) in estimated.items():
        assert [each.measured for each in weights] == [True, True, True, False]
        for one, other in zip(weights, exact[name][0], strict=True):
            assert one.noise == pytest.approx(other.noise, rel=1e-6)
            if one.measured:
                assert one == other
            else:
                ratios.append(one.divergence / other.divergence)
    # In 16 channels few errors meet, so single figures scatter; over all layers they do not.
    assert 0.8 < np.exp(np.mean(np.log(ratios))) < 1.25


def test_a_grid_that_is_not_run_follows_from_its_noise_on_one_clip(monkeypatch) -> None:
    model, _ = attention(frames=40)
    feeds = feeds_of(attention, 6)
    exact = measured(model, feeds.only([3]))
    frugal = Effort(tuple(range(6)), probes=1, all_grids=False)
    monkeypatch.setattr("quantkit.sensitivity.divergence.effort_for", lambda *_: frugal)
    estimated = measured(model, feeds)
    ratios = []
    for name, (_, shown) in estimated.items():
        for one, other in zip(shown, exact[name][1], strict=True):
            assert (one.compute, one.bits) == (other.compute, other.bits)
            if one.compute == "dynamic":
                assert one.noise == pytest.approx(other.noise, rel=1e-4)
                assert one.divergence == pytest.approx(other.divergence, rel=1e-3)
            else:
                ratios.append(one.divergence / other.divergence)
    assert ratios
    assert 0.5 < np.exp(np.mean(np.log(ratios))) < 2


def test_posteriors_that_are_not_finite_name_the_clip() -> None:
    model, _ = residual()
    feeds = CalibrationData(
        [
            ("fine", residual()[1]),
            ("broken", {"x": np.full((1, 8, 9), np.nan, np.float32)}),
        ],
        ArtifactInfo(),
    )
    with pytest.raises(ModelError, match="NaN or infinite on clip broken"):
        measured(model, feeds)


def test_tiers_are_tried_on_vocabularies_alone() -> None:
    """That is, on layers whose channels are known to be used more or less."""
    model, _ = tied()
    words = next(layer.shape[0] for layer in find_layers(model) if layer.name == "rows.node")
    tiered = CodecChoice.parse("tiered:2,tiers=4x8")
    use = np.arange(words, 0, -1).astype(np.float32)
    known = Observations(channel_use={"rows.node": use, "logits.node": use})
    settings = replace(SETTINGS, candidates=(*CODECS, tiered))
    with_tiers = measured(model, feeds_of(tied), settings, observations=known)
    without = measured(model, feeds_of(tied), observations=known)
    for name, (weights, _) in with_tiers.items():
        vocabulary = name in known.channel_use
        assert [each.codec for each in weights] == [*CODECS, *([tiered] if vocabulary else [])]
        assert weights[: len(CODECS)] == without[name][0]
        if vocabulary:
            assert weights[-1].measured
            assert weights[-1].divergence > 0
    # Nobody knows here which rows are used.
    unknown = measured(model, feeds_of(tied), settings)
    assert all(len(weights) == len(CODECS) for weights, _ in unknown.values())

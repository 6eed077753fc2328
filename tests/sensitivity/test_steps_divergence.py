"""Plans of recurrent layers, and of layers in bodies, are tried as the file will compute them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.runtime.session import create_session
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.plan_divergence import PlanTrial
from tests.control_flow import INPUTS, looped, merged_decoder
from tests.recurrent_model import recurrent_recogniser

MODELS = {"recurrent": recurrent_recogniser, "branches": merged_decoder, "loop": looped}
SETTINGS = DivergenceSettings(
    candidates=(CodecChoice("bitplane", 3),), weighting="uniform", seconds=1000, threads=1
)


@pytest.fixture(params=MODELS)
def model(request) -> onnx.ModelProto:
    return MODELS[request.param]()


def clips_for(model: onnx.ModelProto) -> list[tuple[str, dict[str, np.ndarray]]]:
    random, names = np.random.default_rng(1), {value.name for value in model.graph.input}
    found = []
    for number, frames in enumerate((60, 33, 40)):
        feed = {"features": random.standard_normal((1, frames, INPUTS)).astype(np.float32)}
        if "lengths" in names:
            feed["lengths"] = np.array([frames])
        if "use_cache" in names:
            feed["use_cache"] = np.array(number != 1)
        found.append((f"clip{number}", feed))
    return found


@pytest.mark.parametrize(("compute", "share"), [("float32", 0.02), ("dynamic", 0.5)])
def test_plan_is_foretold_and_what_each_layer_bears(model, compute, share, tmp_path: Path) -> None:
    source, clips = tmp_path / "float32.onnx", clips_for(model)
    save_model(model, source)
    codec = CodecChoice("bitplane", 4) if compute == "float32" else INT8
    assigned = prepare(source, QuantizeSettings(compute=compute, codec=codec))
    feeds = assigned.prepared.feeds(clips)
    fitting = PtqSettings()
    seen = observe(assigned.model, assigned.layers, assigned.choices, feeds, fitting)
    weights = CandidateWeights(assigned.model, assigned.layers, seen, fitting)
    trial = PlanTrial(assigned.model, assigned.layers, feeds, SETTINGS, weights)
    with closing(trial) as tried:
        foretold = tried.divergence(assigned.choices).mean
        marginals = tried.marginals(assigned.choices)
    result = quantize_model(source, tmp_path / "q.onnx", assigned.plan, clips)
    one, other = create_session(source), create_session(result.path)
    rows = []
    for _, feed in clips:
        true, found = one.run(["log_probs"], feed)[0], other.run(["log_probs"], feed)[0]
        rows.append((np.exp(true) * (true - found)).sum(-1).reshape(-1))
    measured = float(np.concatenate(rows).mean())
    assert foretold == pytest.approx(measured, rel=share)
    assert set(marginals) == {layer.name for layer in assigned.layers}
    # With little error in all, layers given back mostly make it less, or hardly more.
    assert sum(marginals.values()) > 0
    assert sum(value > 0 for value in marginals.values()) >= len(marginals) / 2
    assert max(marginals.values()) < foretold

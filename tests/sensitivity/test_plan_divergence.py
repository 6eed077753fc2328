"""A plan simulated in float says what the real artifact will, and who is to blame for how much."""

from __future__ import annotations

import itertools
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.calibration.observations import Observations
from quantkit.codecs.bitplane import Bitplane
from quantkit.errors import InputError
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerRule
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence import measure_divergence
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.plan_divergence import PlanTrial
from tests.sensitivity.graphs import attention, residual, tied
from tests.sensitivity.test_divergence import brute_force, feeds_of

SETTINGS = DivergenceSettings(weighting="uniform", threads=2)


class Planned:
    """A float model, what becomes of it, and what clips showed of it."""

    def __init__(self, source: Path, settings: QuantizeSettings, feeds: CalibrationData) -> None:
        self.feeds = feeds
        self.prepared: AssignedModel = prepare(source, settings)
        self.choices = dict(self.prepared.choices)
        self.observations = observe(
            self.prepared.model, self.prepared.layers, self.choices, feeds, PtqSettings()
        )

    def trial(self, observations=None) -> PlanTrial:
        return PlanTrial(
            self.prepared.model,
            self.prepared.layers,
            self.feeds,
            SETTINGS,
            self.weights(self.observations if observations is None else observations),
        )

    def weights(
        self, observations: Observations, encodings: Encodings | None = None
    ) -> CandidateWeights:
        prepared = self.prepared
        return CandidateWeights(
            prepared.model, prepared.layers, observations, PtqSettings(), encodings
        )

    def divergence(self, choices=None) -> float:
        with closing(self.trial()) as trial:
            return trial.divergence(choices or self.choices).mean

    def marginals(self, choices=None, **options) -> dict[str, float]:
        with closing(self.trial()) as trial:
            return trial.marginals(choices or self.choices, **options)


@pytest.fixture
def planned(tmp_path: Path):
    def planned(build, **settings) -> Planned:
        source = tmp_path / "float32.onnx"
        onnx.save(build(0)[0], source)
        return Planned(source, QuantizeSettings(**settings), feeds_of(build))

    return planned


CASES = {
    "weights only": {"compute": "float32", "rules": (LayerRule.parse("*=bitplane:3"),)},
    "dynamic per batch": {"compute": "dynamic", "rules": (LayerRule.parse("*=bitplane:4"),)},
    "dynamic per clip": {"compute": "dynamic", "dynamic_range": "per-clip", "activation_bits": 5},
    "static": {"compute": "static", "rules": (LayerRule.parse("*=bitplane:4"),)},
    "static, few bits": {"compute": "static", "activation_bits": 4},
}


@pytest.mark.parametrize("build", [attention, tied, residual])
@pytest.mark.parametrize("case", CASES)
def test_simulated_plan_diverges_like_the_real_artifact(case, build, planned, tmp_path) -> None:
    plan = planned(build, **CASES[case])
    source, path = tmp_path / "float32.onnx", tmp_path / "quantized.onnx"
    quantize_model(source, path, QuantizeSettings(**CASES[case]), plan.feeds)
    output = plan.prepared.model.graph.output[0].name
    expected = brute_force(source, path, plan.feeds, output)
    # Sums of integers round nowhere, those of floats a little: some values are a step off.
    assert plan.divergence() == pytest.approx(expected, rel=0.02)


def test_plan_that_leaves_everything_float_moves_nothing(planned) -> None:
    plan = planned(attention)
    assert plan.divergence(choices=dict.fromkeys(plan.choices, FLOAT_LAYER)) < 1e-9


def test_only_quantized_layer_is_to_blame_for_all(planned) -> None:
    plan = planned(attention, compute="float32", rules=(LayerRule.parse("*=bitplane:3"),))
    alone = {**dict.fromkeys(plan.choices, FLOAT_LAYER), "out.node": plan.choices["out.node"]}
    marginals = plan.marginals(alone)
    total = plan.divergence(choices=alone)
    assert marginals.pop("out.node") == pytest.approx(total, rel=1e-3)
    assert set(marginals.values()) == {0.0}
    settings = replace(SETTINGS, candidates=(plan.choices["out.node"].codec,))
    (weight,), _ = measure_divergence(
        plan.prepared.model,
        plan.prepared.layers,
        plan.feeds,
        settings,
        observations=plan.observations,
        fitting=PtqSettings(),
    )["out.node"]
    assert total == pytest.approx(weight.divergence, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "build"),
    [
        *itertools.product(["weights only", "dynamic per batch"], [attention, residual]),
        ("static", residual),
    ],
)
def test_marginal_is_what_the_plan_without_the_layer_does_not_do(case, build, planned) -> None:
    plan = planned(build, **CASES[case])
    shares: list[float] = []
    marginals = plan.marginals(progress=lambda _stage, share: shares.append(share))
    total = plan.divergence()
    quantized = [name for name, choice in plan.choices.items() if not choice.is_plain_float]
    assert shares == [i / len(quantized) for i in range(len(quantized))]
    assert list(marginals) == list(plan.choices)
    for name in quantized:
        without = plan.divergence(choices={**plan.choices, name: FLOAT_LAYER})
        assert marginals[name] == pytest.approx(total - without, rel=0.01, abs=1e-4 * total)


def test_layers_that_share_a_weight_get_it_back_together(planned) -> None:
    plan = planned(tied, compute="float32", rules=(LayerRule.parse("*=bitplane:2"),))
    marginals = plan.marginals()
    pair = {"rows.node": FLOAT_LAYER, "logits.node": FLOAT_LAYER}
    gone = plan.divergence() - plan.divergence(choices={**plan.choices, **pair})
    assert marginals["rows.node"] == pytest.approx(gone, rel=0.01)


def test_range_that_was_not_observed_is_named(planned) -> None:
    plan = planned(residual, compute="static")
    with (
        closing(plan.trial(Observations())) as trial,
        pytest.raises(InputError, match=r"layer conv1.node: the range of x was not observed"),
    ):
        trial.divergence(plan.choices)


@pytest.mark.slow
def test_one_trial_takes_many_plans_in_any_order(planned) -> None:
    plan = planned(attention, compute="dynamic", rules=(LayerRule.parse("*=bitplane:3"),))
    floating = dict.fromkeys(plan.choices, FLOAT_LAYER)
    total, marginals = plan.divergence(), plan.marginals()
    with closing(plan.trial()) as trial:
        assert trial.divergence(plan.choices).mean == total
        assert trial.divergence(floating).mean < 1e-9
        assert trial.marginals(plan.choices) == marginals
        assert trial.marginals(plan.choices) == marginals
        assert trial.divergence(plan.choices).mean == total


def test_weights_that_somebody_encoded_are_not_encoded_anew(planned, monkeypatch) -> None:
    plan = planned(attention, compute="dynamic", rules=(LayerRule.parse("*=bitplane:3"),))
    weights = plan.weights(plan.observations, Encodings())
    args = (plan.prepared.model, plan.prepared.layers, plan.feeds, SETTINGS, weights)
    with closing(PlanTrial(*args)) as trial:
        total = trial.divergence(plan.choices).mean
    monkeypatch.delattr(Bitplane, "encode")
    with closing(PlanTrial(*args)) as trial:
        assert trial.divergence(plan.choices).mean == total


def test_model_is_not_changed(planned) -> None:
    plan = planned(attention, compute="dynamic")
    before = plan.prepared.model.SerializeToString(deterministic=True)
    plan.marginals()
    assert plan.prepared.model.SerializeToString(deterministic=True) == before

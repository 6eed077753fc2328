"""Plans are tried as a whole, and layers whose errors add up differently are predicted anew."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.calibration.data import CalibrationData
from quantkit.errors import FormatError
from quantkit.graph.artifact import read_info, save_model
from quantkit.planning.correction import LARGEST_FACTOR, Choices, PlanEvaluator, corrected_plan
from quantkit.planning.optimal import Planner
from quantkit.quantization import QuantizeSettings
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.estimate import Estimate
from tests.planning.synthetic import CODECS, synthetic_sensitivity
from tests.small_model import masked_convolutions

BUDGET = 120_000
#: Of the model's layers.
LARGEST = "layer4.conv"


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("correction") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def planner(source) -> Planner:
    return Planner.of(source, synthetic_sensitivity(source), QuantizeSettings())


class Blaming:
    """Some layers do ``factors`` times what they do alone; the others just that."""

    def __init__(self, planner: Planner, factors: Mapping[str, float]) -> None:
        self.alone = {
            name: {str(option.choice): option.divergence for option in options}
            for name, options in planner.options.items()
        }
        self.factors = factors
        self.asked: list[Choices] = []

    def marginals(self, choices: Choices) -> dict[str, float]:
        return {
            name: self.alone[name][str(choice)] * self.factors.get(name, 1.0)
            for name, choice in choices.items()
        }

    def divergence(self, choices: Choices) -> Estimate:
        self.asked.append(choices)
        return Estimate(sum(self.marginals(choices).values()))


@pytest.mark.slow
def test_where_nothing_interacts_the_first_plan_stands(planner) -> None:
    judge = Blaming(planner, {})
    found = corrected_plan(planner, judge, BUDGET)
    assert found.optimum == planner.best(BUDGET)
    assert len(judge.asked) == 1
    (only,) = found.rounds
    assert only.measured == found.measured.mean == pytest.approx(only.predicted)
    assert found.foretold == found.measured
    assert only.size_bytes == found.optimum.size


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["layer2.conv", "layer3.conv"])
@pytest.mark.parametrize("factor", [0.2, 6.0])
def test_interaction_is_found_and_the_plan_made_anew(layer, factor, planner) -> None:
    judge = Blaming(planner, {layer: factor})
    found = corrected_plan(planner, judge, BUDGET)
    # As good as if the truth had been known.
    informed = planner.scaled({layer: factor}).best(BUDGET)
    assert found.measured.mean == pytest.approx(informed.divergence)
    assert found.measured.mean == min(each.measured for each in found.rounds)
    assert found.optimum.size <= BUDGET


@pytest.mark.slow
def test_correction_pays(planner) -> None:
    judge = Blaming(planner, {"layer2.conv": 8.0, "layer4.conv": 0.2})
    found = corrected_plan(planner, judge, BUDGET)
    assert len(found.rounds) > 1
    assert found.measured.mean < found.rounds[0].measured
    assert found.optimum.divergence == pytest.approx(found.measured.mean)


@pytest.mark.slow
def test_the_best_of_those_tried_is_kept(planner) -> None:
    """A judge that blames layers at random: correcting leads nowhere."""

    class Erratic(Blaming):
        def divergence(self, choices: Choices) -> Estimate:
            return Estimate(len(self.asked) + super().divergence(choices).mean)

        def marginals(self, choices: Choices) -> dict[str, float]:
            blamed = sorted(choices)[len(self.asked) % len(choices)]
            return super().marginals(choices) | {blamed: 100.0}

    judge = Erratic(planner, {})
    found = corrected_plan(planner, judge, BUDGET, rounds=2)
    assert 1 < len(judge.asked) <= 3
    assert found.optimum == planner.best(BUDGET)
    assert found.measured.mean == found.rounds[0].measured


@pytest.mark.slow
def test_blame_is_bounded(planner) -> None:
    """A layer that seems to make things better must not be starved for it."""

    class Flattering(Blaming):
        def marginals(self, choices: Choices) -> dict[str, float]:
            return super().marginals(choices) | {LARGEST: -1.0}

    judge = Flattering(planner, {})
    corrected_plan(planner, judge, BUDGET, rounds=1)
    bounded = planner.scaled({LARGEST: 1 / LARGEST_FACTOR}).best(BUDGET)
    assert judge.asked[1:] == [bounded.solution.choices] != judge.asked[:1]


def test_without_a_judge_the_plan_is_untried(planner) -> None:
    found = corrected_plan(planner, None, BUDGET)
    assert found.optimum == planner.best(BUDGET)
    assert (found.measured, found.rounds) == (None, ())


@pytest.mark.slow
def test_on_audio(source, clips) -> None:
    feeds = CalibrationData.of(clips, read_info(source))
    settings = QuantizeSettings()
    table = analyze(
        source,
        feeds,
        AnalysisSettings(metrics=(), divergence=DivergenceSettings(candidates=CODECS)),
    )
    planner = Planner.of(source, table, settings)
    with closing(PlanEvaluator(source, feeds, table, settings)) as judge:
        found = corrected_plan(planner, judge, BUDGET)
        best = found.optimum.solution.choices
        assert judge.divergence(best).mean == pytest.approx(found.measured.mean)
        assert sum(judge.marginals(best).values()) > 0
    assert found.optimum.size <= BUDGET
    assert found.measured is not None
    # What layers do alone says a good deal about what they do together.
    assert found.optimum.divergence / 3 < found.measured.mean < 3 * found.optimum.divergence
    with pytest.raises(FormatError, match="not for this one"):
        PlanEvaluator(source, feeds, replace(table, model_sha256="ab" * 32), settings)

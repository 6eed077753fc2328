"""Correct a plan for interactions between layers.

The programme sums the divergence that each layer causes on its own. Errors of several layers,
however, add up, cancel, or are absorbed by later layers. So the plan is tried on the audio as a
whole, and once for each layer with that layer in float32. The ratio of a layer's measured marginal
to its predicted divergence is a factor that is assumed to apply to its other candidates too:

    D(plan with c' for c in layer l) ≈ D(plan without l) + d[l, c'] · marginal[l] / d[l, c]

The programme is solved again with these values and the new plan is tried, for a few rounds. The
plan with the smallest measured divergence is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.planning.optimal import Optimum, Planner
from quantkit.planning.size_model import choice_label
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice, QuantizeSettings
from quantkit.quantization.pipeline import observe_cached
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.plan_divergence import PlanTrial
from quantkit.sensitivity.table import Sensitivity

Choices = Mapping[str, LayerChoice]

ROUNDS = 2
#: Weights times layers above which plans had better not be tried, because trying one without each
#: of its layers costs as much as measuring a candidate in each of them.
LARGEST_TRIED = 1_000_000_000
# Of fewer than 8 bits, so that everything that fitting may need is observed.
_FITTED = CodecChoice("bitplane", 4)
#: Largest factor by which one candidate's measurement may change the others' divergences.
LARGEST_FACTOR = 8.0


class Judge(Protocol):
    """Tries plans on audio."""

    def divergence(self, choices: Choices) -> Estimate:
        """The divergence of the whole plan."""

    def marginals(self, choices: Choices) -> Mapping[str, float]:
        """By layer, the decrease of the plan's divergence if that layer stays float32."""


@dataclass(frozen=True)
class Round:
    """One plan that was tried.

    Args:
        predicted: sum of the layers' divergences, corrected by earlier rounds.
        measured: of the whole plan.
        size_bytes: of its file.
    """

    predicted: float
    measured: float
    size_bytes: int


@dataclass(frozen=True)
class Correction:
    """The best of the plans that were tried.

    Args:
        optimum: the plan, with its prediction.
        measured: its divergence; None if it was not tried.
        rounds: every plan that was tried, in order; the first is that of the uncorrected
            divergences.
        of_ranks: divergence of the float model with its layers split from the whole one, which
            is not in the others: they are those from the split float model.
    """

    optimum: Optimum
    measured: Estimate | None = None
    rounds: tuple[Round, ...] = ()
    of_ranks: float = 0.0

    @property
    def foretold(self) -> Estimate:
        """Estimated divergence of the file: measured if the plan was tried, else predicted."""
        found = self.measured or Estimate(self.optimum.divergence)
        # Errors that have nothing to do with each other add up in power, and so in divergence.
        return Estimate(found.mean + self.of_ranks) if self.of_ranks else found


def corrected_plan(
    planner: Planner,
    judge: Judge | None,
    budget_bytes: int,
    limit_ms: float | None = None,
    *,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> Correction:
    """The plan within the budget with the smallest measured divergence.

    Args:
        judge: None: the plan that is predicted best, without trying it.
        rounds: most corrections; 0 only tries the plan that is predicted best.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        InputError: no plan keeps to budget and limit.
    """
    if judge is None:
        return Correction(planner.best(budget_bytes, limit_ms))
    factors: dict[str, float] = {}
    tried: dict[str, tuple[Optimum, Estimate]] = {}
    passed: list[Round] = []
    while len(tried) <= rounds:
        optimum = planner.scaled(factors).best(budget_bytes, limit_ms)
        choices = optimum.solution.choices
        label = " ".join(map(choice_label, choices.values()))
        if label in tried:
            break
        measured = judge.divergence(choices)
        tried[label] = optimum, measured
        passed.append(Round(optimum.divergence, measured.mean, optimum.size))
        if progress is not None:
            progress("trying plans", len(tried) / (rounds + 1))
        if len(tried) <= rounds:
            factors = _factors(optimum, judge.marginals(choices), factors)
    best, measured = min(tried.values(), key=lambda each: each[1].mean)
    return Correction(best, measured, tuple(passed))


class PlanEvaluator:
    """Tries plans on clips, by the simulation of :mod:`quantkit.sensitivity.plan_divergence`.

    To be closed in the end.

    Args:
        source: the float model.
        feeds: unlabelled clips; never those of the evaluation.
        sensitivity: whose weighting of the frames is used.
        settings: how activation ranges are calibrated.
        fitting: how levels are found.

    Raises:
        FormatError: the table is for another model.
        ModelError, CorpusError: see :func:`~quantkit.quantization.quantize_model`.
    """

    def __init__(
        self,
        source: Path | PreparedModel,
        feeds: CalibrationData,
        sensitivity: Sensitivity,
        settings: QuantizeSettings,
        fitting: PtqSettings | None = None,
    ) -> None:
        fitting = fitting or PtqSettings()
        # Ranges and moments of every layer, for any plan.
        everything = replace(settings, compute="static", operators={}, rules=(), exclude=())
        assigned = prepare(source, replace(everything, codec=_FITTED), fitting)
        sensitivity.require_model(assigned.prepared.sha256)
        assigned.condition(feeds)
        weights = CandidateWeights(
            assigned.model,
            assigned.layers,
            observe_cached(assigned, feeds),
            fitting,
            assigned.prepared.cache.encodings,
        )
        self._trial = PlanTrial(
            assigned.model, assigned.layers, feeds, _divergence_settings(sensitivity), weights
        )
        self.divergence = self._trial.divergence
        self.marginals = self._trial.marginals

    def close(self) -> None:
        """Release the open sessions and files."""
        self._trial.close()


def _factors(
    optimum: Optimum, marginals: Mapping[str, float], before: Mapping[str, float]
) -> dict[str, float]:
    """Factors of the layers' own divergences; from the second round on, half the step."""
    factors = dict(before)
    for name, option in optimum.solution.options.items():
        alone = option.divergence / before.get(name, 1.0)
        if alone <= 0.0:
            continue
        seen = min(max(marginals[name] / alone, 1.0 / LARGEST_FACTOR), LARGEST_FACTOR)
        factors[name] = math.sqrt(seen * before.get(name, seen))
    return factors


def _divergence_settings(sensitivity: Sensitivity) -> DivergenceSettings:
    """The settings that the table was measured with, as recorded in it."""
    measured = sensitivity.settings.get("divergence") or {}
    known = {key: measured[key] for key in ("weighting", "seconds") if measured.get(key)}
    return DivergenceSettings(**known)

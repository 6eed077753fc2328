"""Where layers interact, the sum of what they do alone is wrong: found out and put right.

The programme adds up what each layer does to the posteriors on its own. Errors of several layers
also add up, cancel, or are cut off by what comes behind. So the plan is tried on the audio as a
whole, and once for each layer without that layer. What a layer is really to blame for, over what
was predicted of it, is a factor that its other candidates are assumed to share:

    D(plan with c' for c in layer l) ≈ D(plan without l) + d[l, c'] · marginal[l] / d[l, c]

The programme is solved anew with these and the new plan is tried, for a few rounds; the plan that
really moves the posteriors least is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from quantkit.calibration.feeds import Feeds
from quantkit.codecs.catalogue import CodecChoice
from quantkit.planning.optimal import Optimum, Planner
from quantkit.planning.size_model import choice_label
from quantkit.progress import Progress
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import LayerChoice, QuantizeSettings
from quantkit.quantization.pipeline import observe_cached
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.plan_divergence import PlanTrial
from quantkit.sensitivity.table import Sensitivity

Choices = Mapping[str, LayerChoice]

ROUNDS = 2
# Of fewer than 8 bits, so that all is observed that fitting can need.
_FITTED = CodecChoice("bitplane", 4)
#: A layer's candidates differ; what one of them shows says no more than this about the others.
LARGEST_FACTOR = 8.0


class Judge(Protocol):
    """Tries plans on audio."""

    def divergence(self, choices: Choices) -> Estimate:
        """Of the whole plan."""

    def marginals(self, choices: Choices) -> Mapping[str, float]:
        """By layer, what the plan's divergence falls by when that layer stays float32."""


@dataclass(frozen=True)
class Round:
    """One plan that was tried.

    Args:
        predicted: sum of the layers' divergences, each corrected by what earlier rounds showed.
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
        optimum: the plan, and what was predicted of it.
        measured: its divergence; None where it was not tried.
        rounds: every plan that was tried, in order; the first is the one that the layers' own
            divergences lead to.
    """

    optimum: Optimum
    measured: Estimate | None = None
    rounds: tuple[Round, ...] = ()

    @property
    def foretold(self) -> Estimate:
        """What the file will diverge by: of the plan tried as a whole, where it was tried."""
        return self.measured or Estimate(self.optimum.divergence)


def corrected_plan(
    planner: Planner,
    judge: Judge | None,
    budget_bytes: int,
    limit_ms: float | None = None,
    *,
    rounds: int = ROUNDS,
    progress: Progress | None = None,
) -> Correction:
    """The plan within the budget that moves the posteriors least, of those that were tried.

    Args:
        judge: None: the plan that is predicted best, untried.
        rounds: how often to correct, at most; 0 only tries the plan that is predicted best.
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
        feeds: unlabelled clips; never those that results are reported on.
        sensitivity: whose weighting of the frames is used.
        settings: how activation ranges are found.
        fitting: how levels are found.

    Raises:
        FormatError: the table is for another model.
        ModelError, CorpusError: see :func:`~quantkit.quantization.quantize_model`.
    """

    def __init__(
        self,
        source: Path | PreparedModel,
        feeds: Feeds,
        sensitivity: Sensitivity,
        settings: QuantizeSettings,
        fitting: Fitting | None = None,
    ) -> None:
        fitting = fitting or Fitting()
        # Ranges and moments of every layer, whatever plan will be tried.
        everything = replace(settings, compute="static", operators={}, rules=(), exclude=())
        assigned = prepare(source, replace(everything, codec=_FITTED), fitting)
        sensitivity.require_model(assigned.prepared.sha256)
        assigned.condition(feeds)
        self._trial = PlanTrial(
            assigned.model,
            assigned.layers,
            feeds,
            _divergence_settings(sensitivity),
            observations=observe_cached(assigned, feeds),
            fitting=fitting,
            encodings=assigned.prepared.cache.encodings,
        )
        self.divergence = self._trial.divergence
        self.marginals = self._trial.marginals

    def close(self) -> None:
        """Give back what trying plans holds open."""
        self._trial.close()


def _factors(
    optimum: Optimum, marginals: Mapping[str, float], before: Mapping[str, float]
) -> dict[str, float]:
    """What to multiply the layers' own divergences by, from the second time on half way there."""
    factors = dict(before)
    for name, option in optimum.solution.options.items():
        alone = option.divergence / before.get(name, 1.0)
        if alone <= 0.0:
            continue
        seen = min(max(marginals[name] / alone, 1.0 / LARGEST_FACTOR), LARGEST_FACTOR)
        factors[name] = math.sqrt(seen * before.get(name, seen))
    return factors


def _divergence_settings(sensitivity: Sensitivity) -> DivergenceSettings:
    """As the table was measured, as far as it says."""
    measured = sensitivity.settings.get("divergence") or {}
    known = {key: measured[key] for key in ("weighting", "seconds") if measured.get(key)}
    return DivergenceSettings(**known)

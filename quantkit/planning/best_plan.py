"""The best plan within all limits: of size, of latency, and of what opening the file takes.

A latency may need layers of lower rank (:mod:`quantkit.planning.fast_model`); plans are tried on
clips, where there are some, and corrected (:mod:`quantkit.planning.correction`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.planning.budget import parse_latency
from quantkit.planning.correction import Correction, PlanEvaluator, corrected_plan
from quantkit.planning.fast_model import FastModel, LatencyRequest, fast_model
from quantkit.planning.kept_latency import plan_in_time
from quantkit.planning.latency import LayerTimes
from quantkit.planning.load_limit import openable_plan
from quantkit.planning.optimal import Planner, planner_within
from quantkit.planning.structured import StructuredModel
from quantkit.progress import Progress
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings
from quantkit.sensitivity.table import Sensitivity


@dataclass(frozen=True)
class PlanLimits:
    """What is asked of :func:`best_plan`.

    Args:
        budget_bytes: of the file.
        quantize: compute, activation grids, pinned layers, exclusions and target runtime.
        analysis: that the sensitivities were made with; its fitting is that of the plan.
        codecs: to choose from; none: all codecs of the table.
        max_latency: such as ``20ms``, or ``0.13x`` of what float32 takes; None: no limit.
        times: of the layers, if known; without a latency they only go into fronts.
        max_input_divergence: see :func:`~quantkit.planning.optimal.planner_within`.
        load_bytes: that opening the file may take; None: no limit.
        rounds: corrections of plans that are tried on clips; None: plans are not tried.
        cache: folder that keeps analyses and times; None: none.
    """

    budget_bytes: int
    quantize: QuantizeSettings
    analysis: AnalysisSettings
    codecs: tuple[CodecChoice, ...] = ()
    max_latency: str | None = None
    times: LayerTimes | None = None
    max_input_divergence: float | None = None
    load_bytes: int | None = None
    rounds: int | None = None
    cache: Path | None = None


@dataclass(frozen=True)
class BestPlan:
    """The best plan, and what it was made from.

    Args:
        model: that the plan is of: with lower ranks, where they lose less.
        sensitivity: of that model.
        planner: of it, for fronts.
        correction: the plan itself, as it was tried.
        fast: what a latency needed; None: there was no limit, or no clip to time layers on.
    """

    model: PreparedModel
    sensitivity: Sensitivity
    planner: Planner
    correction: Correction
    fast: FastModel | None = None


def best_plan(
    prepared: PreparedModel,
    feeds: CalibrationData | None,
    sensitivity: Sensitivity,
    limits: PlanLimits,
    *,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> BestPlan:
    """The plan of least divergence that keeps to ``limits``.

    Args:
        feeds: unlabelled clips; None: nothing is timed, split or tried.
        sensitivity: of ``prepared``; layers without divergences of ranks stay whole.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what makes results less sure.

    Raises:
        InputError: no plan keeps to the limits, or the table is incomplete.
        FormatError: the table or the times are of another model.
        ModelError, CorpusError, OutputError: see :func:`~quantkit.sensitivity.analyze.analyze`.
    """
    if limits.max_latency is None or feeds is None:
        whole = StructuredModel(prepared, sensitivity)
        return _Planning(whole, feeds, limits, None, progress).best()
    request = LatencyRequest(
        limits.max_latency,
        limits.budget_bytes,
        limits.quantize,
        limits.analysis,
        limits.cache,
        limits.codecs,
        limits.times,
    )
    fast = fast_model(prepared, feeds, sensitivity, request, progress=progress, notify=notify)
    structured = StructuredModel(fast.model, fast.sensitivity, fast.divergence)
    return _Planning(structured, feeds, limits, fast, progress).best()


class _Planning:
    """Plans of one model."""

    def __init__(
        self,
        structured: StructuredModel,
        feeds: CalibrationData | None,
        limits: PlanLimits,
        fast: FastModel | None,
        progress: Progress | None,
    ) -> None:
        self._structured, self._feeds, self._limits = structured, feeds, limits
        self._fast, self._progress = fast, progress
        self._planners: dict[tuple[bool, tuple[str, ...]], Planner] = {}
        self._times = limits.times if fast is None else fast.times
        self._limit_ms = None if fast is None else fast.limit_ms
        if fast is None and limits.max_latency is not None:
            if limits.times is None:
                raise InputError("a limit on latency needs the times of the layers on this host")
            self._limit_ms = parse_latency(limits.max_latency, limits.times.whole["float32"])

    def best(self) -> BestPlan:
        """Of all codecs and kernels that the limits leave."""
        if self._fast is None or self._feeds is None:
            found = self._best(self._limit_ms is not None)
        else:
            fitting = self._limits.analysis.fitting
            found = plan_in_time(self._fast, self._feeds, fitting, self._best)
        free = self._times is not None and (self._fast is None or self._fast.any_compute)
        return BestPlan(
            self._structured.model,
            self._structured.sensitivity,
            self._planner(free, self._codecs),
            replace(found, of_ranks=self._structured.divergence),
            self._fast,
        )

    def _best(self, any_compute: bool) -> Correction:
        def of(codecs: tuple[CodecChoice, ...]) -> Correction:
            return self._corrected(self._planner(any_compute, codecs))

        return openable_plan(self._structured.model, self._limits.load_bytes, of, self._codecs)

    @property
    def _codecs(self) -> tuple[CodecChoice, ...]:
        return self._limits.codecs or self._structured.sensitivity.codecs

    def _corrected(self, planner: Planner) -> Correction:
        budget, rounds = self._limits.budget_bytes, self._limits.rounds
        if rounds is None or self._feeds is None:
            return corrected_plan(planner, None, budget, self._limit_ms)
        judge = PlanEvaluator(
            planner.source,
            self._feeds,
            self._structured.sensitivity,
            self._limits.quantize,
            self._limits.analysis.fitting,
        )
        with closing(judge):
            return corrected_plan(
                planner, judge, budget, self._limit_ms, rounds=rounds, progress=self._progress
            )

    def _planner(self, any_compute: bool, codecs: tuple[CodecChoice, ...]) -> Planner:
        """Made once for what it is asked for: it holds the costs of all options."""
        asked = any_compute, tuple(map(str, codecs))
        if asked not in self._planners:
            self._planners[asked] = self._made(any_compute, codecs)
        return self._planners[asked]

    def _made(self, any_compute: bool, codecs: tuple[CodecChoice, ...]) -> Planner:
        limits = self._limits
        return planner_within(
            limits.budget_bytes,
            self._structured.model,
            self._structured.sensitivity,
            limits.quantize,
            codecs=codecs,
            times=self._times,
            any_compute=any_compute,
            faster_inputs=self._limit_ms is not None,
            limit_ms=self._limit_ms,
            max_input_divergence=limits.max_input_divergence,
            fitting=limits.analysis.fitting,
        )

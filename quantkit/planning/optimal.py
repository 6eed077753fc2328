"""The plan with the least predicted output divergence whose file keeps to a budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.codecs.catalogue import INT8, CodecChoice
from quantkit.errors import InputError
from quantkit.graph.plan import Compute, Plan
from quantkit.planning.candidates import layer_candidates
from quantkit.planning.input_kernels import (
    LEAST_LIMIT,
    SHARE,
    InputKernel,
    divergence_of_inputs,
    finer_inputs,
    with_kernels,
)
from quantkit.planning.latency import LayerTimes, timed_as
from quantkit.planning.programme import Groups, Option, Programme, Solution
from quantkit.planning.size import with_sizes
from quantkit.planning.size_model import SizeModel
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice, QuantizeSettings, row_of
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.tied_weights import shared_weights
from quantkit.sensitivity.table import Sensitivity

METHOD = "optimal"

# Most solutions of the programme with a corrected budget.
_ROUNDS = 8


@dataclass(frozen=True)
class Optimum:
    """A plan with its prediction.

    Args:
        plan: with the exact size of its file.
        solution: the options that it consists of.
    """

    plan: Plan
    solution: Solution

    @property
    def divergence(self) -> float:
        """Predicted, in nats per frame."""
        return self.solution.divergence

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.plan.predicted_bytes or 0


class Planner:
    """The data that a model's plans are chosen by; see :func:`optimal_plan`.

    Args:
        source: the float model.
        options: candidates of each layer, with their costs.
        ties: groups of layers with tied weights.
        sizes: of the model.
        notes: why a layer has this compute and not the requested one, by its name.
        fitting: recorded in the plans.
        target_runtime: the oldest supported ONNX Runtime, recorded likewise.
    """

    def __init__(
        self,
        source: PreparedModel,
        options: Mapping[str, Sequence[Option]],
        ties: Groups,
        sizes: SizeModel,
        *,
        notes: Mapping[tuple[str, Compute], str],
        fitting: PtqSettings | None = None,
        target_runtime: str = "",
    ) -> None:
        self.source = source
        self.sizes = sizes
        self.fitting = fitting
        self.options, self.ties = options, ties
        self._notes, self._target_runtime = notes, target_runtime
        self._programme = Programme(options, ties)

    @classmethod
    def of(
        cls,
        source: Path | PreparedModel,
        sensitivity: Sensitivity,
        settings: QuantizeSettings,
        *,
        codecs: Sequence[CodecChoice] = (),
        times: LayerTimes | None = None,
        any_compute: bool = False,
        faster_inputs: bool = False,
        kernels: Mapping[str, InputKernel] | None = None,
        fitting: PtqSettings | None = None,
    ) -> Planner:
        """Args, Raises: see :func:`optimal_plan`.

        Args:
            any_compute: whether the compute of each layer without a rule is chosen, too.
            faster_inputs: see :func:`~quantkit.planning.candidates.layer_candidates`.
            kernels: of layers that do not get their usual one; see :func:`planner_within`.
        """
        # Without exceptions, so that the graph is prepared for every candidate.
        prepared = PreparedModel.of(source)
        every_layer = replace(settings, codec=INT8, rules=(), exclude=())
        assigned = prepare(prepared, every_layer, fitting)
        if assigned.is_unchanged:
            # Layers of which none has an integer kernel can be stored in fewer bits all the same.
            stored = CodecChoice("bitplane", 4)
            assigned = prepare(prepared, replace(every_layer, codec=stored), fitting)
        if times is not None:
            times.require_model(prepared.sha256)
        sensitivity.require_model(prepared.sha256)
        settings = with_kernels(settings, kernels or {})
        candidates = layer_candidates(
            assigned,
            sensitivity,
            settings,
            codecs=codecs,
            any_compute=any_compute,
            faster_inputs=faster_inputs,
        )
        sizes = SizeModel(prepared, settings, assigned)
        layers = {layer.name: layer for layer in assigned.layers}

        def milliseconds(name: str, choice: LayerChoice) -> float:
            if times is None:
                return 0.0
            return times.milliseconds(name, *timed_as(row_of(layers[name], choice)))

        options = {
            name: [
                Option(
                    each.choice,
                    each.divergence,
                    sizes.bytes_of(name, each.choice),
                    sizes.tables_of(name, each.choice),
                    milliseconds(name, each.choice),
                )
                for each in layer
            ]
            for name, layer in candidates.items()
        }
        return cls(
            prepared,
            *_agreeing(options, shared_weights(assigned.model, assigned.layers)),
            sizes,
            notes={
                **{(row.name, "float32"): row.note for row in assigned.plan.layers if row.note},
                **{(name, each.compute): each.note for name, each in (kernels or {}).items()},
            },
            fitting=fitting,
            target_runtime=settings.target_runtime,
        )

    def scaled(self, factors: Mapping[str, float]) -> Planner:
        """A planner with the divergences of some layers multiplied."""
        options = {
            name: [
                replace(option, divergence=option.divergence * factors.get(name, 1.0))
                for option in layer
            ]
            for name, layer in self.options.items()
        }
        return Planner(
            self.source,
            options,
            self.ties,
            self.sizes,
            notes=self._notes,
            fitting=self.fitting,
            target_runtime=self._target_runtime,
        )

    def best(self, budget_bytes: int, limit_ms: float | None = None) -> Optimum:
        """The plan of least divergence whose file takes at most ``budget_bytes``.

        The programme is solved with the size model and the resulting file is built. The error of
        the size model corrects the budget of the next round, until nothing changes.

        Raises:
            InputError: there is none; the message states the smallest possible size.
        """
        best: Optimum | None = None
        off, tried = 0, set[int]()
        while off not in tried and len(tried) < _ROUNDS:
            tried.add(off)
            room = budget_bytes - self.sizes.base - off
            solution = self._programme.least_divergence(room, limit_ms)
            if solution is None:
                break
            found = self._sized(solution, budget_bytes)
            if found.size <= budget_bytes and (best is None or found.divergence < best.divergence):
                best = found
            off = found.size - self.sizes.base - solution.bytes
        return best or self._smallest_within(budget_bytes, limit_ms)

    def estimate(
        self, budget_bytes: int, limit_ms: float | None = None, known: Solution | None = None
    ) -> Solution | None:
        """The solution that :meth:`best` starts from, with a predicted size.

        Args:
            known: see :meth:`~quantkit.planning.programme.Programme.least_divergence`.
        """
        return self._programme.least_divergence(budget_bytes - self.sizes.base, limit_ms, known)

    @property
    def largest_bytes(self) -> int:
        """An upper bound of the file size."""
        layers = (
            max(o.bytes + sum(o.tables.values()) for o in each) for each in self.options.values()
        )
        return self.sizes.base + sum(layers)

    def smallest(self, limit_ms: float | None = None) -> Solution | None:
        """The solution of fewest bytes; None if none keeps to the limit."""
        return self._programme.least_bytes(limit_ms)

    def fastest(self) -> Solution:
        """The solution of fewest milliseconds."""
        return self._programme.least_milliseconds()

    def plan(self, choices: Mapping[str, LayerChoice]) -> Plan:
        """``choices`` as a plan, without sizes."""
        plan = self.sizes.plan(choices, METHOD)
        rows = tuple(
            replace(row, note=self._notes.get((row.name, row.compute), row.note))
            for row in plan.layers
        )
        return replace(plan, layers=rows, target_runtime=self._target_runtime)

    def _sized(self, solution: Solution, budget_bytes: int) -> Optimum:
        plan = self.plan(solution.choices)
        return Optimum(with_sizes(self.source, plan, budget_bytes, self.fitting), solution)

    def _smallest_within(self, budget_bytes: int, limit_ms: float | None) -> Optimum:
        smallest = self.smallest(limit_ms)
        if smallest is None:
            raise InputError(
                f"no choice of kernels runs in {limit_ms:.3g} ms on this host: the fastest takes "
                f"{self.fastest().milliseconds:.3g}; raise the limit, or pin fewer layers"
            )
        found = self._sized(smallest, budget_bytes)
        if found.size > budget_bytes:
            raise InputError(
                f"a file of {budget_bytes:,} bytes is impossible: the smallest, with "
                f"{_codecs_of(found.plan)}, takes {found.size:,}; raise the budget, or pin or "
                "exclude fewer layers"
            )
        return found


def optimal_plan(
    source: Path | PreparedModel,
    budget_bytes: int,
    sensitivity: Sensitivity,
    settings: QuantizeSettings | None = None,
    *,
    codecs: Sequence[CodecChoice] = (),
    times: LayerTimes | None = None,
    limit_ms: float | None = None,
    max_input_divergence: float | None = None,
    fitting: PtqSettings | None = None,
) -> Optimum:
    """The plan of least predicted output divergence whose file takes at most ``budget_bytes``.

    ::

        optimal_plan(Path("float32.onnx"), 3_000_000, read_sensitivity(Path("sensitivity.json")))

    The prediction is the sum of the divergences of single layers; see
    :mod:`quantkit.planning.correction` for interactions.

    Args:
        sensitivity: with output divergence for the candidates of every layer.
        settings: compute and activation bits, pinned layers (rules), exclusions, target runtime.
            Its codec does not matter.
        codecs: to choose from; none: all codecs of the table.
        times: of the layers on this host.
        limit_ms: per run; with it, the compute of each layer without a rule is chosen, too. Without
            it, float32 kernels would always win, because they do not round.
        max_input_divergence: see :func:`planner_within`. Not with ``limit_ms``.
        fitting: recorded in the plan.

    Raises:
        InputError: no plan keeps to budget and limit, or the table is incomplete.
        FormatError: the table or the times are for another model.
        ModelError: see :func:`~quantkit.quantization.quantize_model`.
    """
    if limit_ms is not None and times is None:
        raise InputError("a limit on latency needs the times of the layers on this host")
    planner = planner_within(
        budget_bytes,
        source,
        sensitivity,
        settings or QuantizeSettings(),
        codecs=codecs,
        times=times,
        any_compute=limit_ms is not None,
        limit_ms=limit_ms,
        max_input_divergence=max_input_divergence,
        fitting=fitting,
    )
    return planner.best(budget_bytes, limit_ms)


def planner_within(
    budget_bytes: int,
    source: Path | PreparedModel,
    sensitivity: Sensitivity,
    settings: QuantizeSettings,
    *,
    codecs: Sequence[CodecChoice] = (),
    times: LayerTimes | None = None,
    any_compute: bool = False,
    faster_inputs: bool = False,
    limit_ms: float | None = None,
    max_input_divergence: float | None = None,
    fitting: PtqSettings | None = None,
) -> Planner:
    """A planner whose kernels round the layers' inputs as finely as files of this size deserve.

    Args, Raises: see :func:`optimal_plan`.

    Args:
        any_compute: whether the compute of each layer without a rule is chosen; then the inputs
            need no care of their own.
        faster_inputs: see :func:`~quantkit.planning.candidates.layer_candidates`.
        limit_ms: per run; finer kernels that cannot keep to it are not taken.
        max_input_divergence: what integer inputs may cost together, in nats per frame. Layers
            without a rule get finer kernels until they keep to it; see
            :func:`~quantkit.planning.input_kernels.finer_inputs`. None: a tenth of what the
            weights cost in the plan of this size, but at least 0.0005.
    """
    prepared = PreparedModel.of(source)

    def planner(kernels: Mapping[str, InputKernel]) -> Planner:
        return Planner.of(
            prepared,
            sensitivity,
            settings,
            codecs=codecs,
            times=times,
            any_compute=any_compute,
            faster_inputs=faster_inputs,
            kernels=kernels,
            fitting=fitting,
        )

    usual = planner({})
    if any_compute:
        return usual
    layers = tuple(usual.sizes.layers.values())
    limit = max_input_divergence
    if limit is None:
        # Whether a budget is possible, and why not, is said when it is asked for.
        solution = usual.estimate(budget_bytes, limit_ms) or usual.smallest()
        inputs = sum(divergence_of_inputs(sensitivity, settings, layers).values())
        weights = 0.0 if solution is None else max(0.0, solution.divergence - inputs)
        limit = max(LEAST_LIMIT, SHARE * weights)
    kernels = finer_inputs(sensitivity, settings, layers, limit)
    finer = planner(kernels) if kernels else usual
    too_slow = limit_ms is not None and finer.smallest(limit_ms) is None
    return usual if too_slow else finer


def _agreeing(
    options: Mapping[str, Sequence[Option]], groups: Groups
) -> tuple[dict[str, Sequence[Option]], Groups]:
    """Restrict layers with a tied weight to options with common codecs.

    Raises:
        InputError: they have no codec in common.
    """
    agreeing = dict(options)
    for group in groups:
        codecs = [{str(o.choice.codec) for o in options[name]} for name in group]
        common = set.intersection(*codecs)
        if not common:
            raise InputError(
                f"layers {' and '.join(group)} share a weight, but have no common codec; pin or "
                "exclude all of them or none"
            )
        for name in group:
            agreeing[name] = [o for o in options[name] if str(o.choice.codec) in common]
    return agreeing, groups


def _codecs_of(plan: Plan) -> str:
    counts = Counter(str(CodecChoice(row.codec, row.bits, row.options)) for row in plan.layers)
    return ", ".join(f"{count} × {codec}" for codec, count in counts.most_common())

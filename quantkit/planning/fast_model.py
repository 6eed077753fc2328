"""The model that a latency needs: with the structure that costs least, analysed and timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.planning.budget import parse_latency
from quantkit.planning.latency import LayerTimes
from quantkit.planning.measure_latency import (
    measure_channel_times,
    measure_rank_times,
    measure_split_times,
)
from quantkit.planning.optimal import Planner, planner_within
from quantkit.planning.structure import choose_structure
from quantkit.planning.structured import (
    analyse_structured,
    droppable_layers,
    named_layers,
    shrinkable_layers,
)
from quantkit.progress import Progress, no_progress
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings
from quantkit.sensitivity.table import Sensitivity

# How often ranks are chosen, for times of which those of the chosen ones have shown more; and how
# near to the limit these are to be, as a share of it.
_ROUNDS = 5
_NEAR_ENOUGH = 0.03


@dataclass(frozen=True)
class LatencyRequest:
    """What is asked of :func:`fast_model`.

    Args:
        max_latency: such as ``20ms``, or ``0.13x`` of what float32 takes.
        budget_bytes: of the file.
        quantize: pinned layers, exclusions and target runtime.
        analysis: of the split model, like that of the whole one.
        cache: folder that keeps analyses and times; None: none.
        codecs: to choose from; none: all codecs of the table.
        whole: times of the model with no layer split, if known.
    """

    max_latency: str
    budget_bytes: int
    quantize: QuantizeSettings
    analysis: AnalysisSettings
    cache: Path | None = None
    codecs: tuple[CodecChoice, ...] = ()
    whole: LayerTimes | None = None


@dataclass(frozen=True)
class FastModel:
    """A model whose plans can keep to a latency.

    Args:
        model: with some structure; the given one where it needs none.
        sensitivity: of that model.
        times: of its layers.
        limit_ms: the latency in milliseconds.
        float32_ms: of the float32 model, measured with ``times``.
        divergence: of the structure alone, in nats per frame, measured on some of the clips.
    """

    model: PreparedModel
    sensitivity: Sensitivity
    times: LayerTimes
    limit_ms: float
    float32_ms: float
    divergence: float = 0.0

    @property
    def any_compute(self) -> bool:
        """Whether the plan is to choose kernels, too.

        The parts of split layers have those of the settings: the times of single layers leave out
        what it takes to go from integers to float and back, which is much beside small layers.
        """
        return not self.model.structure


def fast_model(
    prepared: PreparedModel,
    feeds: CalibrationData,
    sensitivity: Sensitivity,
    request: LatencyRequest,
    *,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> FastModel:
    """Give ``prepared`` the ranks and numbers of channels that the latency needs.

    Args:
        feeds: unlabelled clips, to time the layers, to find their parts, and to analyse these.
        sensitivity: of ``prepared``; layers without divergences of ranks stay whole, and those
            without divergences of channels make all.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what makes results less sure.

    Raises:
        InputError: the latency is no time, or impossible.
        ModelError, CorpusError, OutputError: see :func:`~quantkit.sensitivity.analyze.analyze`.
    """
    tell = progress or no_progress
    tell("timing layers", 0.0)
    named = named_layers(request.quantize, prepared)
    splittable = [row.name for row in sensitivity.layers if row.ranks and row.name not in named]
    times = measure_rank_times(
        prepared, feeds, splittable, whole=request.whole, cache_folder=request.cache
    )
    shrinkable = shrinkable_layers(prepared, sensitivity, named)
    fewer = measure_channel_times(prepared, feeds, shrinkable, times.whole, request.cache)
    if notify is not None and times.whole.disturbed:
        notify(times.whole.disturbance)
    float32_ms = times.whole.whole["float32"]
    limit_ms = parse_latency(request.max_latency, float32_ms)

    def planner(any_compute: bool) -> Planner:
        return planner_within(
            request.budget_bytes,
            prepared,
            sensitivity,
            request.quantize,
            codecs=request.codecs,
            times=times.whole,
            any_compute=any_compute,
            limit_ms=limit_ms if any_compute else None,
            faster_inputs=True,
            fitting=request.analysis.fitting,
        )

    whole = FastModel(prepared, sensitivity, times.whole, limit_ms, float32_ms)
    if not splittable and not shrinkable:
        return whole
    unsplit = planner(True).estimate(request.budget_bytes, limit_ms)
    usual = planner(False)
    branches = droppable_layers(
        prepared, sensitivity, named | {n for each in usual.ties for n in each}
    )
    allowed, chosen, split, best = limit_ms, None, times.whole, float("inf")
    for _ in range(_ROUNDS):
        try:
            found = choose_structure(
                usual,
                sensitivity,
                times,
                request.budget_bytes,
                allowed,
                feeds,
                unsplit,
                fewer,
                branches,
            )
        except InputError:
            if chosen is None:
                raise
            # Less than was reckoned is impossible: what is known decides.
            break
        if not found.model.structure:
            return whole
        if chosen is not None and found.model.structure == chosen.model.structure:
            break
        measured = measure_split_times(found.model, feeds, times.whole, request.cache)
        taken = found.milliseconds(measured)
        if taken <= limit_ms or taken < best:
            chosen, split, best = found, measured, taken
        if 0.0 <= 1.0 - taken / limit_ms < _NEAR_ENOUGH:
            break
        allowed *= limit_ms / taken
    assert chosen is not None, "there is at least one round"
    analysed = analyse_structured(
        prepared,
        chosen.model,
        feeds,
        request.analysis,
        cache=request.cache,
        progress=progress,
        notify=notify,
    )
    return FastModel(
        chosen.model, analysed.sensitivity, split, limit_ms, float32_ms, analysed.divergence
    )

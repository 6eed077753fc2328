"""The model that a small budget needs: with lower ranks, where they lose less than fewer bits.

Below some two bits a weight, every further bit that is saved costs more than the last. A layer of
lower rank has fewer weights, each of which may keep more bits. The programme of
:mod:`quantkit.planning.structure` chooses both together, with times of nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.planning.channel_times import ChannelTimes
from quantkit.planning.correction import LARGEST_TRIED
from quantkit.planning.latency import RankTimes
from quantkit.planning.optimal import planner_within
from quantkit.planning.structure import choose_structure
from quantkit.planning.structured import (
    StructuredModel,
    analyse_structured,
    droppable_layers,
    named_layers,
    shrinkable_layers,
)
from quantkit.progress import Progress
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings
from quantkit.sensitivity.table import Sensitivity
from quantkit.structure.layers import splittable_layers

# Bits a weight below which lower ranks are tried. On the shipped Wav2Letter the programme takes
# none at 2.8, and half of the loss is gone at 2.1 (`python -m benchmarks.rank_bytes`).
_FEW_BITS = 2.5
# Times are nothing, and any limit is kept to.
_NO_LIMIT = 1.0


def has_few_bits(prepared: PreparedModel, budget_bytes: int) -> bool:
    """Whether the budget leaves so few bits a weight that lower ranks are worth an analysis.

    They are not for large models, whose plans are not tried either.
    """
    layers = prepared.layers_of(prepared.graph())
    weights = sum(layer.parameters for layer in layers)
    few = 8 * budget_bytes < _FEW_BITS * weights
    return few and weights * len(layers) <= LARGEST_TRIED


@dataclass(frozen=True)
class BudgetRequest:
    """What is asked of :func:`small_model`.

    Args:
        budget_bytes: of the file.
        quantize: pinned layers, exclusions and target runtime.
        analysis: of the split model, like that of the whole one.
        cache: folder that keeps analyses; None: none.
        codecs: to choose from; none: all codecs of the table.
        max_input_divergence: see :func:`~quantkit.planning.optimal.planner_within`.
    """

    budget_bytes: int
    quantize: QuantizeSettings
    analysis: AnalysisSettings
    cache: Path | None = None
    codecs: tuple[CodecChoice, ...] = ()
    max_input_divergence: float | None = None


def small_model(
    prepared: PreparedModel,
    feeds: CalibrationData,
    sensitivity: Sensitivity,
    request: BudgetRequest,
    *,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> StructuredModel | None:
    """``prepared`` with the ranks and numbers of channels that lose least within the budget.

    Args:
        feeds: unlabelled clips, to find the parts of layers, and to analyse these.
        sensitivity: of ``prepared``; layers without divergences of ranks stay whole.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told what makes results less sure.

    Returns:
        None where fewer bits alone are predicted to lose less, or no structure keeps to the budget.

    Raises:
        InputError: no plan of the whole model can be made at all.
        ModelError, CorpusError, OutputError: see :func:`~quantkit.sensitivity.analyze.analyze`.
    """
    if not any(row.ranks or row.channels for row in sensitivity.layers):
        return None
    named = named_layers(request.quantize, prepared)
    ranked = {row.name for row in sensitivity.layers if row.ranks} - named
    layers = {n: each for n, each in splittable_layers(prepared.graph()).items() if n in ranked}
    planner = planner_within(
        request.budget_bytes,
        prepared,
        sensitivity,
        request.quantize,
        codecs=request.codecs,
        max_input_divergence=request.max_input_divergence,
        fitting=request.analysis.fitting,
    )
    times = RankTimes.of_nothing(layers, planner.options)
    paths = shrinkable_layers(prepared, sensitivity, named)
    branches = droppable_layers(
        prepared, sensitivity, named | {name for tied in planner.ties for name in tied}
    )
    try:
        found = choose_structure(
            planner,
            sensitivity,
            times,
            request.budget_bytes,
            _NO_LIMIT,
            feeds,
            fewer=ChannelTimes.of_nothing(paths, times.whole),
            branches=branches,
        )
    except InputError:
        return None
    if not found.model.structure:
        return None
    return analyse_structured(
        prepared,
        found.model,
        feeds,
        request.analysis,
        cache=request.cache,
        progress=progress,
        notify=notify,
    )

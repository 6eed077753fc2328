"""A model whose structure was chosen, analysed anew."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.calibration.data import CalibrationData
from quantkit.disk.temporary import TemporaryFolder
from quantkit.graph.artifact import save_model
from quantkit.progress import Progress
from quantkit.quantization.choices.settings import (
    EXCLUSION,
    RULE,
    QuantizeSettings,
    match_layers,
)
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort_for
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.table import Sensitivity
from quantkit.structure.branches import branch_ends
from quantkit.structure.channel_paths import ChannelPath, channel_paths


@dataclass(frozen=True)
class StructuredModel:
    """A model with some structure.

    Args:
        model: with it.
        sensitivity: of that model.
        divergence: of the structure alone, in nats per frame, measured on some of the clips.
    """

    model: PreparedModel
    sensitivity: Sensitivity
    divergence: float = 0.0


def analyse_structured(
    whole: PreparedModel,
    split: PreparedModel,
    feeds: CalibrationData,
    analysis: AnalysisSettings,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> StructuredModel:
    """Analyse ``split``, whose structure is not to be changed any more.

    Args:
        whole: the same model without that structure.
        analysis: of ``whole``.

    Raises:
        ModelError, CorpusError, OutputError: see :func:`~quantkit.sensitivity.analyze.analyze`.
    """
    table = analyze(
        split,
        feeds,
        replace(analysis, ranks=False),
        cache=cache,
        progress=progress,
        notify=notify,
    )
    lost = divergence_of_structure(whole, split, feeds, analysis.divergence)
    return StructuredModel(split, table, lost)


def named_layers(settings: QuantizeSettings, prepared: PreparedModel) -> set[str]:
    """Layers that an exclusion or a rule is about: these are to be what it says, and whole."""
    layers = prepared.layers_of(prepared.graph(settings.skip_passes))
    rules = [rule.pattern for rule in settings.rules]
    return match_layers(settings.exclude, layers, EXCLUSION) | match_layers(rules, layers, RULE)


def shrinkable_layers(
    prepared: PreparedModel, sensitivity: Sensitivity, kept: Collection[str]
) -> dict[str, ChannelPath]:
    """Layers that may make fewer channels, each with their way to the layer that reads them.

    Args:
        kept: layers that are to stay what they are.
    """
    paths = channel_paths(prepared.graph())
    tried = {row.name for row in sensitivity.layers if row.channels}
    return {
        name: path
        for name, path in paths.items()
        if name in tried and not {name, path.consumer} & set(kept)
    }


def droppable_layers(
    prepared: PreparedModel, sensitivity: Sensitivity, kept: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Layers that may make their mean alone, each with those that only it needs.

    Args:
        kept: layers that are to stay what they are.
    """
    ends = branch_ends(prepared.graph())
    return {
        row.name: ends[row.name]
        for row in sensitivity.layers
        if row.mean and row.name in ends and not {row.name, *ends[row.name]} & set(kept)
    }


def divergence_of_structure(
    whole: PreparedModel,
    split: PreparedModel,
    feeds: CalibrationData,
    settings: DivergenceSettings | None,
) -> float:
    """Of the float model with it from the whole one, in nats per frame: parts help one another."""
    settings = settings or DivergenceSettings()
    graph = split.graph()
    clips = feeds.only(effort_for(settings, split.layers_of(graph), feeds).clips)
    with TemporaryFolder("structure") as folder:
        path = folder / "split.onnx"
        save_model(graph, path)
        return model_divergence(whole, path, clips, weighting=settings.weighting).mean

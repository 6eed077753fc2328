"""From a float model and unlabelled clips to the table of sensitivities."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.calibration.data import Calibration, CalibrationData
from quantkit.calibration.heard import require_heard
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError, FormatError, InputError
from quantkit.graph.joined import repeated_nodes
from quantkit.json_fields import Fields
from quantkit.progress import Progress, no_progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.observe import observe
from quantkit.quantization.pipeline import observe_cached
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import AssignedModel, PreparedModel
from quantkit.quantization.tied_weights import shared_weights
from quantkit.quantization.unusable_clips import leaving_out
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.divergence import Divergences, measure_divergence
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.metrics import METRICS, metric
from quantkit.sensitivity.observe import measure_metrics
from quantkit.sensitivity.structure_divergence import StructureDivergences, measure_structures
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity
from quantkit.structure.channel_paths import channel_paths
from quantkit.structure.layers import splittable_layers

_LOG = logging.getLogger(__name__)

#: What the distances of quantized from float outputs are measured with.
REFERENCE = CodecChoice("bitplane", 4)


@dataclass(frozen=True)
class AnalysisSettings:
    """What to find out about each layer.

    >>> AnalysisSettings(metrics=("median", "sqnr"), divergence=None).reference.bits
    4

    Args:
        metrics: names from :data:`~quantkit.sensitivity.metrics.METRICS`.
        reference: codec of the quantized outputs that metrics compare with the float ones.
        fitting: how levels are found for the divergence.
        divergence: what to try on each layer; None leaves it out.
        ranks: whether to try lower ranks on layers that can be split, too. Needs ``divergence``.

    Raises:
        InputError: an unknown metric, or a reference that quantizes nothing.
    """

    metrics: tuple[str, ...] = tuple(METRICS)
    reference: CodecChoice = REFERENCE
    fitting: PtqSettings = field(default_factory=PtqSettings)
    divergence: DivergenceSettings | None = field(default_factory=DivergenceSettings)
    ranks: bool = False

    def __post_init__(self) -> None:
        for name in self.metrics:
            metric(name)
        if self.reference.is_float:
            raise InputError(f"the reference codec must quantize, which {self.reference} does not")

    def to_json(self) -> dict[str, Any]:
        """All that the table depends on, beside model and audio."""
        return {
            "metrics": list(self.metrics),
            "reference": str(self.reference),
            "fitting": self.fitting.to_json(),
            "divergence": None if self.divergence is None else self.divergence.to_json(),
            **({"ranks": True, "channels": True, "mean": True} if self.ranks else {}),
        }


def analyze(
    source: Path | PreparedModel,
    calibration: Calibration | CalibrationData,
    settings: AnalysisSettings | None = None,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Sensitivity:
    """How much the precision of each layer of the float model ``source`` matters.

    ::

        table = analyze(Path("float32.onnx"), corpus, cache=default_cache_folder())
        write_sensitivity(table, Path("sensitivity.json"))

    Args:
        source: its path, or the model prepared.
        calibration: unlabelled clips.
        settings: None: all metrics, and the divergence of the usual candidates.
        cache: folder that keeps what is done, for the next time; see
            :class:`~quantkit.sensitivity.cache.AnalysisCache`.
        progress: see :data:`~quantkit.progress.Progress`.
        notify: is told when the cache cannot be written.

    Raises:
        ModelError: ``source`` is damaged, quantized already, or has nothing to quantize; or it
            fails, or gives NaN, on a clip.
        CorpusError: none of the clips is usable, or the model hears nothing in them.
    """
    settings = AnalysisSettings() if settings is None else settings
    prepared = PreparedModel.of(source)
    feeds = prepared.feeds(calibration)
    tell = progress or no_progress
    return leaving_out(
        prepared, feeds, lambda: _analyze(prepared, feeds, settings, cache, tell, notify)
    )


def _analyze(
    prepared: PreparedModel,
    feeds: CalibrationData,
    settings: AnalysisSettings,
    cache: Path | None,
    tell: Progress,
    notify: Callable[[str], None] | None,
) -> Sensitivity:
    assigned = _assigned(prepared, settings)
    if not feeds.clips:
        raise CorpusError("the analysis needs at least one clip, and there is none")
    require_heard(prepared.original, feeds)
    assigned.condition(feeds)
    kept = AnalysisCache(
        cache,
        model_sha256=assigned.graph_sha256(),
        audio_sha256=feeds.digest(),
        notify=notify,
    )
    finished = kept.within(settings.to_json())
    layers = _finished_layers(finished)
    if layers is None:
        metrics = measure_metrics(
            assigned.model,
            assigned.layers,
            feeds,
            settings.metrics,
            settings.reference,
            kept.within({"reference": str(settings.reference)}),
            progress=tell,
        )
        divergences = _divergences(assigned, feeds, settings, kept, tell)
        ranks = _structures(assigned, feeds, settings, kept, tell)
        layers = _rows(assigned, metrics, divergences, ranks)
        _LOG.info("analysed %d layers", len(layers))
        finished.put("layers", [layer.to_json() for layer in layers])
    else:
        _LOG.info("the same analysis is in the cache: nothing is measured")
    return Sensitivity(
        model_sha256=prepared.sha256,
        audio_sha256=feeds.digest(),
        clips=feeds.recordings,
        seconds=feeds.seconds,
        settings=settings.to_json(),
        layers=layers,
    )


def _assigned(prepared: PreparedModel, settings: AnalysisSettings) -> AssignedModel:
    """The graph as quantizing will find it, and choices that ask for all there is to observe."""
    everything = QuantizeSettings(name="analysis", compute="static", codec=REFERENCE)
    return prepare(prepared, everything, settings.fitting)


def _divergences(
    assigned: AssignedModel,
    feeds: CalibrationData,
    settings: AnalysisSettings,
    cache: AnalysisCache,
    tell: Progress,
) -> Mapping[str, Divergences]:
    if settings.divergence is None:
        return {}
    observations = observe_cached(assigned, feeds, tell)
    return measure_divergence(
        assigned.model,
        assigned.layers,
        feeds,
        settings.divergence,
        observations=observations,
        fitting=settings.fitting,
        held_out=_held_out(assigned, feeds, settings.fitting),
        cache=cache,
        encodings=assigned.prepared.cache.encodings,
        progress=tell,
    )


def _structures(
    assigned: AssignedModel,
    feeds: CalibrationData,
    settings: AnalysisSettings,
    cache: AnalysisCache,
    tell: Progress,
) -> Mapping[str, StructureDivergences]:
    if settings.divergence is None or not settings.ranks:
        return {}
    prepared, skipped = assigned.prepared, assigned.skip_passes
    # As the halves will find it: what conditioning moves between layers is not in there.
    model = prepared.graph(skipped)
    layers = prepared.layers_of(model)
    taken = {name for group in shared_weights(model, layers) for name in group}
    taken |= set(settings.fitting.balance)
    wanted = [name for name in splittable_layers(model) if name not in taken]
    paths = channel_paths(model)
    fewer = [name for name, each in paths.items() if not {name, each.consumer} & taken]
    return measure_structures(
        model,
        layers,
        feeds,
        settings.divergence,
        seen=prepared.seen(skipped, wanted, feeds),
        channels=prepared.seen_channels(skipped, fewer, feeds),
        cache=cache,
        progress=tell,
    )


def _held_out(
    assigned: AssignedModel, feeds: CalibrationData, fitting: PtqSettings
) -> tuple[Observations, ...]:
    """Of a Whisper, what every other clip showed, and what the rest did.

    The decoder of a Whisper reads a few hundred tokens, fewer than a layer has inputs. Weights of
    one bit can overfit them so much that they look harmless.
    """
    if feeds.clips < 2 or not repeated_nodes(assigned.model):
        return ()
    return tuple(
        observe(
            assigned.model,
            assigned.layers,
            assigned.choices,
            feeds.only([clip for clip in range(feeds.clips) if clip % 2 != left_out]),
            fitting,
        )
        for left_out in range(2)
    )


def _rows(
    assigned: AssignedModel,
    metrics: Mapping[str, Mapping[str, float]],
    divergences: Mapping[str, Divergences],
    structures: Mapping[str, StructureDivergences],
) -> tuple[LayerSensitivity, ...]:
    rows = []
    for layer in assigned.layers:
        weights, activations = divergences.get(layer.name, ((), ()))
        structure = structures.get(layer.name, StructureDivergences())
        rows.append(
            LayerSensitivity(
                name=layer.name,
                op=layer.op,
                shape=layer.shape,
                parameters=layer.parameters,
                metrics=metrics[layer.name],
                weights=weights,
                activations=activations,
                ranks=structure.ranks,
                input_ranks=structure.input_ranks,
                channels=structure.channels,
                mean=structure.mean,
            )
        )
    return tuple(rows)


def _finished_layers(cache: AnalysisCache) -> tuple[LayerSensitivity, ...] | None:
    document = cache.get("layers")
    if document is None:
        return None
    try:
        return tuple(LayerSensitivity.from_json(Fields(row, "the cache")) for row in document)
    except (FormatError, TypeError):
        # Whole, but from a version with other fields.
        return None

"""From a float model and unlabelled clips to the table of sensitivities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.calibration.feeds import Calibration, Feeds
from quantkit.calibration.observations import Observations
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import CorpusError, FormatError, InputError
from quantkit.graph.digest import graph_digest
from quantkit.graph.parts import repeated_nodes
from quantkit.quantization.calibration_cache import CalibrationCache
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.equalize.conditioning import condition
from quantkit.quantization.observe import observe
from quantkit.quantization.pipeline import Prepared, prepare
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.divergence import Divergences, measure_divergence
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.metrics import METRICS, metric
from quantkit.sensitivity.observe import measure_metrics
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity

#: What the distances of quantized from float outputs are measured with.
REFERENCE = CodecChoice("bitplane", 4)

#: Is told what is going on, and which share of it is done.
Progress = Callable[[str, float], None]


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

    Raises:
        InputError: an unknown metric, or a reference that quantizes nothing.
    """

    metrics: tuple[str, ...] = tuple(METRICS)
    reference: CodecChoice = REFERENCE
    fitting: Fitting = field(default_factory=Fitting)
    divergence: DivergenceSettings | None = field(default_factory=DivergenceSettings)

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
        }


def analyze(
    source: Path,
    calibration: Calibration | Feeds,
    settings: AnalysisSettings | None = None,
    *,
    cache: Path | None = None,
    shared: CalibrationCache | None = None,
    progress: Progress | None = None,
    notify: Callable[[str], None] | None = None,
) -> Sensitivity:
    """How much the precision of each layer of the float model ``source`` matters.

    ::

        table = analyze(Path("float32.onnx"), corpus, cache=default_cache_folder())
        write_sensitivity(table, Path("sensitivity.json"))

    Args:
        calibration: unlabelled clips.
        settings: None: all metrics, and the divergence of the usual candidates.
        cache: folder that keeps what is done, for the next time; see
            :class:`~quantkit.sensitivity.cache.AnalysisCache`.
        shared: with what comes after; None: nothing is.
        progress: see :data:`Progress`.
        notify: is told when the cache cannot be written.

    Raises:
        ModelError: ``source`` is damaged, quantized already, or has nothing to quantize; or it
            fails, or gives NaN, on a clip.
        CorpusError: none of the clips is usable.
    """
    settings = AnalysisSettings() if settings is None else settings
    prepared = _prepared(source, settings)
    feeds = Feeds.of(calibration, prepared.info, source)
    if not feeds.clips:
        raise CorpusError("the analysis needs at least one clip, and there is none")
    shared = shared or CalibrationCache()
    condition(
        prepared.model, prepared.layers, prepared.choices, feeds, settings.fitting, shared=shared
    )
    kept = AnalysisCache(
        cache,
        model_sha256=graph_digest(prepared.model),
        audio_sha256=feeds.digest(),
        notify=notify,
    )
    finished = kept.within(settings.to_json())
    layers = _finished_layers(finished)
    if layers is None:
        tell = (lambda _stage, _share: None) if progress is None else progress
        metrics = measure_metrics(
            prepared.model,
            prepared.layers,
            feeds,
            settings.metrics,
            settings.reference,
            kept.within({"reference": str(settings.reference)}),
            progress=lambda share: tell("metrics", share),
        )
        divergences = _divergences(prepared, feeds, settings, kept, shared, tell)
        layers = _rows(prepared, metrics, divergences)
        finished.put("layers", [layer.to_json() for layer in layers])
    return Sensitivity(
        model_sha256=prepared.plan.model_sha256,
        audio_sha256=feeds.digest(),
        clips=feeds.recordings,
        seconds=feeds.seconds,
        settings=settings.to_json(),
        layers=layers,
    )


def _prepared(source: Path, settings: AnalysisSettings) -> Prepared:
    """The graph as quantizing will find it, and choices that ask for all there is to observe."""
    everything = QuantizeSettings(name="analysis", compute="static", codec=REFERENCE)
    return prepare(source, everything, settings.fitting)


def _divergences(
    prepared: Prepared,
    feeds: Feeds,
    settings: AnalysisSettings,
    cache: AnalysisCache,
    shared: CalibrationCache,
    tell: Progress,
) -> Mapping[str, Divergences]:
    if settings.divergence is None:
        return {}
    heard = 0.0

    def hear(_clip: str, share: float) -> None:
        nonlocal heard
        heard += share
        tell("inputs", heard / feeds.clips)

    observations = observe(
        prepared.model,
        prepared.layers,
        prepared.choices,
        feeds,
        settings.fitting,
        heard=shared.trackers(prepared.model, feeds),
        progress=hear,
    )
    return measure_divergence(
        prepared.model,
        prepared.layers,
        feeds,
        settings.divergence,
        observations=observations,
        fitting=settings.fitting,
        apart=_apart(prepared, feeds, settings.fitting),
        cache=cache,
        encodings=shared.encodings,
        progress=lambda _layer, done, total: tell("divergence", done / total),
    )


def _apart(prepared: Prepared, feeds: Feeds, fitting: Fitting) -> tuple[Observations, ...]:
    """Of a Whisper, what every other clip showed, and what the rest did.

    Its decoder reads a few hundred tokens, fewer than a layer has inputs. Weights of one bit can be
    fitted to those so well that they look harmless, and are not with any other text.
    """
    if feeds.clips < 2 or not repeated_nodes(prepared.model):
        return ()
    return tuple(
        observe(
            prepared.model,
            prepared.layers,
            prepared.choices,
            feeds.only([clip for clip in range(feeds.clips) if clip % 2 != left_out]),
            fitting,
        )
        for left_out in range(2)
    )


def _rows(
    prepared: Prepared,
    metrics: Mapping[str, Mapping[str, float]],
    divergences: Mapping[str, Divergences],
) -> tuple[LayerSensitivity, ...]:
    rows = []
    for layer in prepared.layers:
        weights, activations = divergences.get(layer.name, ((), ()))
        rows.append(
            LayerSensitivity(
                name=layer.name,
                op=layer.op,
                shape=layer.shape,
                parameters=layer.parameters,
                metrics=metrics[layer.name],
                weights=weights,
                activations=activations,
            )
        )
    return tuple(rows)


def _finished_layers(cache: AnalysisCache) -> tuple[LayerSensitivity, ...] | None:
    document = cache.get("layers")
    if document is None:
        return None
    try:
        return tuple(LayerSensitivity.from_json(row) for row in document)
    except (FormatError, KeyError, TypeError, ValueError):
        # Whole, but from a version with other fields.
        return None

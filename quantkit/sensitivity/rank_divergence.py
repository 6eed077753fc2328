"""How far the posteriors move when one layer alone is split in two of lower rank.

The rest of the float model is run on what the two compute together; see
:mod:`quantkit.sensitivity.divergence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.observations import Observations
from quantkit.graph.layers import Layer
from quantkit.json_fields import Fields
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.parallel import workers
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort_for
from quantkit.sensitivity.layerwise import Unit, Walk
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.table import RankDivergence
from quantkit.sensitivity.trial import LayerTrial
from quantkit.structure.layers import splittable_layers
from quantkit.structure.low_rank import LowRank, Spectrum, low_rank


def measure_ranks(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    feeds: CalibrationData,
    settings: DivergenceSettings,
    *,
    spectra: Mapping[str, Spectrum],
    cache: AnalysisCache | None = None,
    progress: Progress | None = None,
) -> dict[str, tuple[RankDivergence, ...]]:
    """Divergence at each rank worth trying, by name of the layer.

    Args:
        model: the float graph after all passes; not changed.
        layers: of it, in graph order.
        settings: weighting, seconds of audio and threads.
        spectra: of the layers to try.
        cache: of this model and audio.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """
    parts = (cache or AnalysisCache(None)).within({"ranks": settings.to_json()})
    found = {}
    for name in spectra:
        if (document := parts.get(name)) is not None:
            rows = Fields({"ranks": document}, "the cache").children("ranks")
            found[name] = tuple(map(RankDivergence.from_json, rows))
    if found.keys() == spectra.keys():
        return found
    weights = CandidateWeights(model, layers, Observations(), PtqSettings())
    splittable = splittable_layers(model)
    clips = feeds.only(effort_for(settings, layers, feeds).clips)
    with (
        workers(settings.workers) as pool,
        closing(
            Walk(model, posterior_output(model), clips, memory=settings.memory, pool=pool)
        ) as walk,
    ):
        reference = Reference(
            walk.clips, walk.results(), settings.weighting, walk.folder, settings.memory
        )
        for done, name in enumerate(layer.name for layer in layers if layer.name in spectra):
            layer = weights.layer(name)
            if layer is None or not walk.graph.needs(layer.position):
                found[name] = ()
                continue
            unit = Unit(name, layer.position, layer.position)
            if name in found:
                walk.pass_by(unit)
                continue
            if progress is not None:
                progress("ranks", done / len(spectra))
            trial = LayerTrial(walk, walk.go_to(unit), layer, reference, {})
            powers = sum(trial.power(clip) for clip in range(len(walk.clips)))

            def measure(
                rank: int,
                layer: FloatLayer = layer,
                trial: LayerTrial = trial,
                power: float = powers,
            ) -> RankDivergence:
                halves = low_rank(layer.placed.matrix(), spectra[layer.name], rank)
                weight = _in_layout(halves, layer)
                clips = range(len(walk.clips))
                changes = [trial.with_weight(clip, weight, {}, halves.shift) for clip in clips]
                error = sum(each.error for each in changes)
                divergence = reference.mean(each.divergence for each in changes)
                return RankDivergence(rank, divergence, error / power if power > 0.0 else 0.0)

            found[name] = tuple(pool.map(measure, splittable[name].ranks))
            parts.put(name, [each.to_json() for each in found[name]])
    return found


def _in_layout(halves: LowRank, layer: FloatLayer) -> FloatArray:
    """What both halves multiply by, in the layout of the layer's weight."""
    channels_first = np.moveaxis(layer.values, layer.axis, 0).shape
    product = halves.product.reshape(channels_first)
    return np.ascontiguousarray(np.moveaxis(product, 0, layer.axis))

"""How far the posteriors move when one layer alone is split at some rank.

The rest of the float model is run on what the parts compute together; see
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
from quantkit.structure.layers import Seen, splittable_layers
from quantkit.structure.low_rank import low_input_rank, low_rank

#: Of outputs, and of inputs.
RankDivergences = tuple[tuple[RankDivergence, ...], tuple[RankDivergence, ...]]

_SIDES = ("ranks", "input_ranks")


def measure_ranks(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    feeds: CalibrationData,
    settings: DivergenceSettings,
    *,
    seen: Mapping[str, Seen],
    cache: AnalysisCache | None = None,
    progress: Progress | None = None,
) -> dict[str, RankDivergences]:
    """Divergence at each rank worth trying, of outputs and of inputs, by name of the layer.

    Args:
        model: the float graph after all passes; not changed.
        layers: of it, in graph order.
        settings: weighting, seconds of audio and threads.
        seen: of the layers to try.
        cache: of this model and audio.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """
    parts = (cache or AnalysisCache(None)).within({"ranks": settings.to_json()})
    found: dict[str, RankDivergences] = {}
    for name in seen:
        if (document := parts.get(name)) is not None:
            fields = Fields(document, "the cache")
            outputs, inputs = (
                tuple(map(RankDivergence.from_json, fields.children(key))) for key in _SIDES
            )
            found[name] = outputs, inputs
    if found.keys() == seen.keys():
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
        for done, name in enumerate(layer.name for layer in layers if layer.name in seen):
            layer = weights.layer(name)
            if layer is None or not walk.graph.needs(layer.position):
                found[name] = (), ()
                continue
            unit = Unit(name, layer.position, layer.position)
            if name in found:
                walk.pass_by(unit)
                continue
            if progress is not None:
                progress("ranks", done / len(seen))
            trial = LayerTrial(walk, walk.go_to(unit), layer, reference, {})
            tried = _Tried(layer, seen[name], trial, reference, range(len(walk.clips)))
            sides = splittable[name].ranks, splittable[name].input_ranks
            made, read = pool.map(tried.outputs, sides[0]), pool.map(tried.inputs, sides[1])
            found[name] = tuple(made), tuple(read)
            rows = ([each.to_json() for each in side] for side in found[name])
            parts.put(name, dict(zip(_SIDES, rows, strict=True)))
    return found


class _Tried:
    """One layer with other weights."""

    def __init__(
        self,
        layer: FloatLayer,
        seen: Seen,
        trial: LayerTrial,
        reference: Reference,
        clips: Sequence[int],
    ) -> None:
        self._layer, self._seen, self._trial = layer, seen, trial
        self._reference, self._clips = reference, clips
        self._power = sum(trial.power(clip) for clip in clips)
        self._matrix = layer.placed.matrix()

    def outputs(self, rank: int) -> RankDivergence:
        """The layer with fewer channels before its outputs."""
        halves = low_rank(self._matrix, self._seen.output, rank)
        return self._measured(rank, halves.product, halves.shift)

    def inputs(self, rank: int) -> RankDivergence:
        """The layer behind one that makes fewer channels of its inputs."""
        assert self._seen.inputs is not None
        halves = low_input_rank(self._matrix, self._seen.inputs, rank)
        taps = halves.expand.reshape(len(halves.expand), rank, -1)
        product = np.einsum("ork,ri->oik", taps, halves.reduce)
        return self._measured(rank, product, halves.shift)

    def _measured(self, rank: int, product: FloatArray, shift: FloatArray) -> RankDivergence:
        channels_first = np.moveaxis(self._layer.values, self._layer.axis, 0).shape
        layout = np.moveaxis(product.reshape(channels_first), 0, self._layer.axis)
        weight = np.ascontiguousarray(layout, np.float32)
        changes = [self._trial.with_weight(clip, weight, {}, shift) for clip in self._clips]
        error = sum(each.error for each in changes)
        divergence = self._reference.mean(each.divergence for each in changes)
        return RankDivergence(rank, divergence, error / self._power if self._power > 0.0 else 0.0)

"""How far the posteriors move when one layer alone is split at some rank, or makes fewer channels.

The rest of the float model is run on what the parts compute together, or on what the layer that
reads the channels computes of those that are kept; see :mod:`quantkit.sensitivity.divergence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

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
from quantkit.structure.branches import branch_ends
from quantkit.structure.channel_paths import ChannelPath, channel_paths
from quantkit.structure.layers import Seen, splittable_layers
from quantkit.structure.low_rank import Covariance, low_input_rank, low_rank
from quantkit.structure.selection import Selection


@dataclass(frozen=True)
class StructureDivergences:
    """Of one layer; each from the smallest number of channels.

    Args:
        ranks, input_ranks: of its outputs and of its inputs; none where it cannot be split.
        channels: that it makes; none where more than one layer reads them.
        mean: of the mean of its output alone; none where it ends no branch.
    """

    ranks: tuple[RankDivergence, ...] = ()
    input_ranks: tuple[RankDivergence, ...] = ()
    channels: tuple[RankDivergence, ...] = ()
    mean: tuple[RankDivergence, ...] = ()

    def to_json(self) -> dict[str, list[dict[str, object]]]:
        """For the cache."""
        return {key: [each.to_json() for each in getattr(self, key)] for key in _FIELDS}

    @classmethod
    def from_json(cls, fields: Fields) -> StructureDivergences:
        """Read :meth:`to_json` back."""
        return cls(*(tuple(map(RankDivergence.from_json, fields.children(key))) for key in _FIELDS))


_FIELDS = ("ranks", "input_ranks", "channels", "mean")


def measure_structures(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    feeds: CalibrationData,
    settings: DivergenceSettings,
    *,
    seen: Mapping[str, Seen],
    channels: Mapping[str, Covariance],
    cache: AnalysisCache | None = None,
    progress: Progress | None = None,
) -> dict[str, StructureDivergences]:
    """Divergence at each rank, and at each number of channels worth trying, by name of the layer.

    Args:
        model: the float graph after all passes; not changed.
        layers: of it, in graph order.
        settings: weighting, seconds of audio and threads.
        seen: of the layers to try at lower ranks.
        channels: of the layers to try with fewer channels.
        cache: of this model and audio.
        progress: see :data:`~quantkit.progress.Progress`.

    Raises:
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """
    # Which grids are tried makes no difference to this.
    asked = replace(settings, faster_inputs=False).to_json()
    parts = (cache or AnalysisCache(None)).within({"structures": asked})
    paths = channel_paths(model)
    read = {paths[name].consumer: paths[name] for name in channels}
    tried = [layer.name for layer in layers if layer.name in seen or layer.name in read]
    # Of each layer, channels are those that it reads.
    found: dict[str, StructureDivergences] = {}
    for name in tried:
        if (document := parts.get(name)) is not None:
            found[name] = StructureDivergences.from_json(Fields(document, "the cache"))
    if len(found) == len(tried):
        return _by_producer(found, read)
    weights = CandidateWeights(model, layers, Observations(), PtqSettings())
    splittable, ends = splittable_layers(model), branch_ends(model)
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
        for done, name in enumerate(tried):
            layer = weights.layer(name)
            if layer is None or not walk.graph.needs(layer.position):
                found[name] = StructureDivergences()
                continue
            unit = Unit(name, layer.position, layer.position)
            if name in found:
                walk.pass_by(unit)
                continue
            if progress is not None:
                progress("ranks", done / len(tried))
            trial = LayerTrial(walk, walk.go_to(unit), layer, reference, {})
            one = _Tried(layer, trial, reference, range(len(walk.clips)))
            made = StructureDivergences()
            if name in seen:
                layer_ranks, shown = splittable[name], seen[name]
                outputs = pool.map(partial(one.outputs, shown), layer_ranks.ranks)
                inputs = pool.map(partial(one.inputs, shown), layer_ranks.input_ranks)
                mean = pool.map(partial(one.outputs, shown), [0] if name in ends else [])
                made = StructureDivergences(tuple(outputs), tuple(inputs), mean=tuple(mean))
            if name in read:
                selection = Selection(one.matrix, channels[read[name].producer])
                kept = pool.map(partial(one.channels, selection), read[name].counts)
                made = replace(made, channels=tuple(kept))
            found[name] = made
            parts.put(name, made.to_json())
    return _by_producer(found, read)


def _by_producer(
    found: Mapping[str, StructureDivergences], read: Mapping[str, ChannelPath]
) -> dict[str, StructureDivergences]:
    """The same, with channels at the layer that makes them."""
    placed = {name: replace(each, channels=()) for name, each in found.items()}
    for name, path in read.items():
        before = placed.get(path.producer, StructureDivergences())
        placed[path.producer] = replace(before, channels=found[name].channels)
    return placed


class _Tried:
    """One layer with other weights."""

    def __init__(
        self,
        layer: FloatLayer,
        trial: LayerTrial,
        reference: Reference,
        clips: Sequence[int],
    ) -> None:
        self._layer, self._trial = layer, trial
        self._reference, self._clips = reference, clips
        self._power = sum(trial.power(clip) for clip in clips)
        self.matrix = layer.placed.matrix()

    def outputs(self, seen: Seen, rank: int) -> RankDivergence:
        """The layer with fewer channels before its outputs."""
        halves = low_rank(self.matrix, seen.output, rank)
        return self._measured(rank, halves.product, halves.shift)

    def inputs(self, seen: Seen, rank: int) -> RankDivergence:
        """The layer behind one that makes fewer channels of its inputs."""
        assert seen.inputs is not None
        halves = low_input_rank(self.matrix, seen.inputs, rank)
        taps = halves.expand.reshape(len(halves.expand), rank, -1)
        product = np.einsum("ork,ri->oik", taps, halves.reduce)
        return self._measured(rank, product, halves.shift)

    def channels(self, selection: Selection, count: int) -> RankDivergence:
        """The layer behind one that makes fewer of the channels that it reads."""
        fewer = selection.fewer(count)
        return self._measured(count, fewer.on_all(selection.channels), fewer.shift)

    def _measured(self, rank: int, product: FloatArray, shift: FloatArray) -> RankDivergence:
        channels_first = np.moveaxis(self._layer.values, self._layer.axis, 0).shape
        layout = np.moveaxis(product.reshape(channels_first), 0, self._layer.axis)
        weight = np.ascontiguousarray(layout, np.float32)
        changes = [self._trial.with_weight(clip, weight, {}, shift) for clip in self._clips]
        error = sum(each.error for each in changes)
        divergence = self._reference.mean(each.divergence for each in changes)
        return RankDivergence(rank, divergence, error / self._power if self._power > 0.0 else 0.0)

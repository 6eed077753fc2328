"""Output divergence: how far the posteriors move when one layer alone is quantized.

The divergence is measured, not derived from the weights, the activations or the layer's error. The
layer is computed with each candidate's weight, the rest of the float model is run on its output,
and the posteriors are compared with the float model's. Everything before the layer is computed
once; see :mod:`quantkit.sensitivity.layerwise`. For models too large to run every candidate, the
others are estimated from the noise that they add to the layer's output.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import onnx

from quantkit.calibration.data import CalibrationData
from quantkit.calibration.observations import Observations
from quantkit.calibration.ranges import Range
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.joined import repeated_nodes
from quantkit.graph.layers import Layer
from quantkit.graph.plan import Compute
from quantkit.json_fields import Fields
from quantkit.progress import Progress
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.kernels.eligibility import reason_to_stay_float
from quantkit.quantization.kernels.static import lay_out
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.parallel import workers
from quantkit.sensitivity.cache import AnalysisCache
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.divergence_settings import (
    DivergenceSettings,
    Effort,
    effort_for,
    listened_codecs,
    probe_codecs,
)
from quantkit.sensitivity.interpolation import interpolate, interpolate_noise
from quantkit.sensitivity.layerwise import Unit, Walk
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.rounding import bounds_of, rounding
from quantkit.sensitivity.table import ActivationDivergence, WeightDivergence
from quantkit.sensitivity.trial import Change, LayerTrial

# Output channels from which the noise of a candidate that is not run is estimated.
_SAMPLED_CHANNELS = 64

Divergences = tuple[tuple[WeightDivergence, ...], tuple[ActivationDivergence, ...]]


def measure_divergence(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    feeds: CalibrationData,
    settings: DivergenceSettings,
    *,
    observations: Observations,
    fitting: PtqSettings,
    held_out: Sequence[Observations] = (),
    cache: AnalysisCache | None = None,
    encodings: Encodings | None = None,
    progress: Progress | None = None,
) -> dict[str, Divergences]:
    """Divergence of each candidate codec, and of each grid of the input, layer by layer.

    A tied weight is replaced in all layers that share it, and all get the same figures. Layers that
    the posteriors do not depend on get zeros. Layers whose weight can only stay float32 get no
    figures.

    Args:
        model: the float graph that will be quantized, after all passes; not changed.
        layers: of it, in graph order.
        feeds: the clips.
        observations: ranges, moments and whatever else ``fitting`` needs, of all layers.
        fitting: how levels are found.
        held_out: for each fold of the clips, what the clips outside it showed: clip i is measured
            with weights that were fitted to ``held_out[i % len(held_out)]``. Empty: all clips are
            measured with weights that were fitted to all.
        cache: of this model, audio, and settings that ``observations`` depend on; with it, a pass
            that was interrupted goes on at the next layer.
        encodings: to share with what comes after; None: with nobody.
        progress: is told before each layer is measured; see :data:`~quantkit.progress.Progress`.

    Returns:
        candidates' and grids' divergences by layer name.

    Raises:
        ModelError: ONNX Runtime cannot run the model, or its posteriors are NaN or infinite.
        CorpusError: there is no clip.
        OutputError: no room for temporary files.
    """
    weights = CandidateWeights(model, layers, observations, fitting, encodings)
    parts = {
        # What is no different for a layer need not be measured again.
        faster: (cache or AnalysisCache(None)).within(
            {
                "divergence": replace(settings, faster_inputs=faster).to_json(),
                "fitting": fitting.to_json(),
            }
        )
        for faster in (False, True)
    }
    part_of = {
        layer.name: parts[settings.faster_inputs and bool(weights.faster_bits(layer.name))]
        for layer in layers
    }
    found: dict[str, Divergences] = {}
    for layer in layers:
        if (document := part_of[layer.name].get(layer.name)) is not None:
            found[layer.name] = _from_json(document)
    if len(found) < len(layers):
        wanted = effort_for(settings, layers, feeds)
        clips = feeds.only(wanted.clips)
        output = posterior_output(model)
        with (
            workers(settings.workers) as pool,
            closing(Walk(model, output, clips, memory=settings.memory, pool=pool)) as walk,
        ):
            reference = Reference(
                walk.clips, walk.results(), settings.weighting, walk.folder, settings.memory
            )
            folds = [Fold(weights, range(len(wanted.clips)))]
            if held_out:
                folds = [
                    Fold(
                        CandidateWeights(model, layers, seen, fitting),
                        [
                            i
                            for i, clip in enumerate(wanted.clips)
                            if clip % len(held_out) == number
                        ],
                    )
                    for number, seen in enumerate(held_out)
                ]
            pass_ = _Pass(model, weights, folds, walk, reference, settings, wanted, pool)
            for done, layer in enumerate(layers):
                if layer.name in found:
                    pass_.skip(layer)
                    continue
                if progress is not None:
                    progress("divergence", done / len(layers))
                found[layer.name] = pass_.measure(layer, found)
                malloc_trim()
                part_of[layer.name].put(layer.name, _to_json(found[layer.name]))
    return {layer.name: found[layer.name] for layer in layers}


@dataclass(frozen=True)
class Fold:
    """Clips of the walk, and the weights that they are tried with."""

    weights: CandidateWeights
    clips: Sequence[int]


class _Pass:
    """One walk through the graph, and what is tried at each layer."""

    def __init__(
        self,
        model: onnx.ModelProto,
        weights: CandidateWeights,
        folds: Sequence[Fold],
        walk: Walk,
        reference: Reference,
        settings: DivergenceSettings,
        wanted: Effort,
        pool: Executor,
    ) -> None:
        self.model = model
        self.weights = weights
        self.folds = folds
        self.walk = walk
        self.reference = reference
        self.settings = settings
        self.probes = probe_codecs(settings.for_all_layers, wanted.probes)
        self.listened = listened_codecs(settings.for_all_layers, self.probes)
        self.all_grids = wanted.all_grids
        self.repeated = repeated_nodes(model)
        self.limits = weights.largest_levels()
        self.pool = pool

    def measure(self, layer: Layer, found: Mapping[str, Divergences]) -> Divergences:
        """Weights and activations of ``layer``; ``found`` holds the layers before it."""
        target = self.weights.layer(layer.name)
        if target is None:
            return (), ()
        leader = self.weights.sharing(layer.name)[0]
        grids = self._grids(target)
        if not self.walk.graph.needs(target.position):
            return (
                tuple(WeightDivergence(codec, 0.0, 0.0) for codec in self.settings.for_all_layers),
                tuple(ActivationDivergence(compute, bits, 0.0, 0.0) for compute, bits in grids),
            )
        stop = self.walk.go_to(Unit(layer.name, target.position, target.position))
        shared = self.weights.replacements(target, target.values)
        trial = LayerTrial(self.walk, stop, target, self.reference, shared)
        # Handed out together, so that no thread waits for the slowest of one kind.
        weights = None if leader in found else self._start_weights(trial, target)
        activations = self._start_activations(trial, target, grids)
        shown = found[leader][0] if weights is None else self._finish_weights(*weights)
        grids_shown = self._finish_activations([each.result() for each in activations])
        return shown, tuple(self._with_levels(trial, target, shown, each) for each in grids_shown)

    def skip(self, layer: Layer) -> None:
        """Go past ``layer``, which was measured before."""
        target = self.weights.layer(layer.name)
        if target is not None and self.walk.graph.needs(target.position):
            self.walk.pass_by(Unit(layer.name, target.position, target.position))

    def _start_weights(
        self, trial: LayerTrial, layer: FloatLayer
    ) -> tuple[list[Future[WeightDivergence]], list[Future[WeightDivergence]]]:
        """The candidates that are run, and those of which only the noise is found."""
        power = sum(trial.power(clip) for clip in self._clips)

        def changes(codec: CodecChoice) -> Iterator[Change]:
            for fold in self.folds:
                weight = fold.weights.stored_by(layer, codec, self.limits.get(layer.name))
                shared = fold.weights.replacements(layer, weight)
                for clip in fold.clips:
                    yield trial.with_weight(clip, weight, shared)

        def run(codec: CodecChoice) -> WeightDivergence:
            return WeightDivergence(codec, *self._figures(changes(codec), power))

        probes = (*self.probes, *self._tiered(layer))
        running = [self.pool.submit(run, codec) for codec in _interleaved(probes)]
        others = self.listened
        part = layer.sampled(_SAMPLED_CHANNELS) if others else layer
        power_of_part = sum(trial.power(clip, part.channels) for clip in self._clips)

        def errors(codec: CodecChoice) -> Iterator[Change]:
            for fold in self.folds:
                weight = fold.weights.stored_by(part, codec, self.limits.get(part.name))
                for clip in fold.clips:
                    yield trial.error_of(clip, part, weight)

        def listen(codec: CodecChoice) -> WeightDivergence:
            _, noise = self._figures(errors(codec), power_of_part)
            return WeightDivergence(codec, 0.0, noise, measured=False)

        return running, [self.pool.submit(listen, codec) for codec in others]

    def _finish_weights(
        self,
        running: Sequence[Future[WeightDivergence]],
        listening: Sequence[Future[WeightDivergence]],
    ) -> tuple[WeightDivergence, ...]:
        run = [task.result() for task in running]
        # Errors that lie where they do the least harm tell nothing of those that lie anywhere.
        points = [(each.noise, each.divergence) for each in run if each.codec.has_one_width]
        found = {str(each.codec): each for each in run}
        listened = [task.result() for task in listening]
        known = [(each.codec, each.noise) for each in (*run, *listened)]
        noises = {str(codec): noise for codec, noise in known}
        for codec in self.settings.for_all_layers:
            if (name := str(codec)) not in found:
                noise = noises[name] if name in noises else interpolate_noise(codec, known)
                divergence = interpolate(noise, points)
                found[name] = WeightDivergence(codec, divergence, noise, measured=False)
        return tuple(found[name] for c in self.settings.candidates if (name := str(c)) in found)

    def _tiered(self, layer: FloatLayer) -> tuple[CodecChoice, ...]:
        """Candidates for ``layer`` alone, if it is a vocabulary that is known to be used."""
        if layer.name not in self.weights.observations.channel_use:
            return ()
        return self.settings.for_vocabulary(layer.values.shape[layer.axis])

    def _grids(self, layer: FloatLayer) -> list[tuple[Compute, int]]:
        """Grids that an integer kernel could round the input of ``layer`` to."""
        if not layer.placed.is_plain_product:
            return []
        computes: tuple[Compute, ...] = ("static", "dynamic")
        found = [
            (compute, bits)
            for compute in computes
            if not reason_to_stay_float(layer.placed, compute)
            for bits in self.settings.activation_bits
        ]
        if self.settings.faster_inputs:
            found += [("static", bits) for bits in self.weights.faster_bits(layer.name)]
        return list(dict.fromkeys(found))

    def _start_activations(
        self, trial: LayerTrial, layer: FloatLayer, grids: Sequence[tuple[Compute, int]]
    ) -> list[Future[ActivationDivergence]]:
        if not grids:
            return []
        clips = self._clips if self.all_grids else self._clips[len(self._clips) // 2 :][:1]
        power = sum(trial.power(clip) for clip in clips)
        bounds = self._static_bounds(trial, layer)

        def run(compute: Compute, bits: int) -> ActivationDivergence:
            rounded = rounding(compute, bits, bounds, by_token=layer.name in self.repeated)
            change = trial.with_input if self._is_run(compute, bits) else trial.error_of_input
            changes = (change(clip, rounded) for clip in clips)
            return ActivationDivergence(compute, bits, *self._figures(changes, power, clips))

        return [self.pool.submit(run, compute, bits) for compute, bits in grids]

    def _is_run(self, compute: Compute, bits: int) -> bool:
        return self.all_grids or (compute == "dynamic" and bits == self.settings.activation_bits[0])

    def _finish_activations(
        self, found: Sequence[ActivationDivergence]
    ) -> tuple[ActivationDivergence, ...]:
        points = [(e.noise, e.divergence) for e in found if self._is_run(e.compute, e.bits)]
        return tuple(
            each
            if self._is_run(each.compute, each.bits)
            else replace(each, divergence=interpolate(each.noise, points))
            for each in found
        )

    def _with_levels(
        self,
        trial: LayerTrial,
        layer: FloatLayer,
        shown: Sequence[WeightDivergence],
        grid: ActivationDivergence,
    ) -> ActivationDivergence:
        """``grid`` with what codecs do with the levels that its kernel can add up.

        Only the noise of these is found, on some of the output channels.
        """
        if grid.compute != "static":
            return grid
        level = self.weights.level_summed(layer.name, grid.bits)
        if level is None:
            return grid
        part = layer.sampled(_SAMPLED_CHANNELS)
        power = sum(trial.power(clip, part.channels) for clip in self._clips)
        points = [(each.noise, each.divergence) for each in shown if each.measured]

        def fewer(before: WeightDivergence) -> WeightDivergence:
            usual, limited, same = 0.0, 0.0, True
            for fold in self.folds:
                one = fold.weights.stored_by(part, before.codec, self.limits.get(layer.name))
                other = fold.weights.stored_by(part, before.codec, level)
                same = same and np.array_equal(one, other)
                for clip in fold.clips:
                    usual += trial.error_of(clip, part, one).error
                    limited += trial.error_of(clip, part, other).error
            if same or power <= 0.0:
                return before
            noise = before.noise * limited / usual if usual > 0.0 else limited / power
            divergence = interpolate(noise, points)
            return WeightDivergence(before.codec, divergence, noise, measured=False)

        return replace(grid, weights=tuple(self.pool.map(fewer, shown)))

    def _static_bounds(self, trial: LayerTrial, layer: FloatLayer) -> Range:
        """The calibrated range of the input of ``layer``, or else that of these clips."""
        value = lay_out(self.model, {layer.name: 8}).inputs[layer.name]
        known = self.weights.observations.ranges.get(value)
        if known is not None:
            return known
        seen = [bounds_of(trial.input(clip)) for clip in self._clips]
        return Range(min(each.lowest for each in seen), max(each.highest for each in seen))

    @property
    def _clips(self) -> range:
        return range(len(self.walk.clips))

    def _figures(
        self, changes: Iterable[Change], power: float, clips: Sequence[int] | None = None
    ) -> tuple[float, float]:
        """Divergence and noise; ``clips``: those that changed, None for all."""
        all_changes = list(changes)
        error = sum(each.error for each in all_changes)
        divergence = self.reference.mean((each.divergence for each in all_changes), clips)
        return divergence, error / power if power > 0.0 else 0.0


def _interleaved(codecs: Sequence[CodecChoice]) -> list[CodecChoice]:
    """Those of like names not next to each other: each kind waits for a factorization of its own.

    See :meth:`~quantkit.codecs.feedback.SecondMoments.feedbacks`.
    """
    kinds: dict[str, list[CodecChoice]] = {}
    for codec in codecs:
        kinds.setdefault(codec.name, []).append(codec)
    return [codec for some in zip_longest(*kinds.values()) for codec in some if codec is not None]


def _to_json(divergences: Divergences) -> dict[str, Any]:
    weights, activations = divergences
    return {
        "weights": [each.to_json() for each in weights],
        "activations": [each.to_json() for each in activations],
    }


def _from_json(document: object) -> Divergences:
    found = Fields(document, "the cache")
    return (
        tuple(map(WeightDivergence.from_json, found.children("weights"))),
        tuple(map(ActivationDivergence.from_json, found.children("activations"))),
    )

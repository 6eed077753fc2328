"""What each layer of a plan costs: alone in the float model, and by being given back its own float.

Both are needed. Alone, a layer shows all of its error; among the others, errors add up, cancel, or
are drowned by larger ones. Everything is computed in float with the weights, biases and grids of
the file (:mod:`quantkit.sensitivity.simulation`), on some of the clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

from quantkit.arrays import Array, FloatArray
from quantkit.calibration.data import CalibrationData
from quantkit.graph.joined import repeated_nodes
from quantkit.progress import Progress, no_progress
from quantkit.quantization.choices.settings import FLOAT_LAYER, LayerChoice
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.tied_weights import shared_weights
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.parallel import workers
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort_for
from quantkit.sensitivity.layerwise import Unit, Walk
from quantkit.sensitivity.plan_divergence import PlanTrial
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.rounding import rounding
from quantkit.sensitivity.trial import Change, LayerTrial

_Rounding = Callable[[Array], Array]


@dataclass(frozen=True)
class LayerCost:
    """Nats per frame, token or clip of one layer.

    Args:
        name: of the layer.
        weights: its weights alone are on their grid.
        inputs: its inputs alone are; 0 where they stay float.
        alone: both are, and all else is float.
        restored: what the whole plan loses less if this layer is float; below 0 where its error
            makes good what others do.
        input_range: that the file's grid of its inputs spans; None where the file has none.
        from_file: whether these are the numbers of the file; else they are what its plan makes of
            the layer on the clips.
    """

    name: str
    weights: float = 0.0
    inputs: float = 0.0
    alone: float = 0.0
    restored: float = 0.0
    input_range: tuple[float, float] | None = None
    from_file: bool = False


def layer_costs(
    assigned: AssignedModel,
    feeds: CalibrationData,
    settings: DivergenceSettings,
    weights: CandidateWeights,
    trial: PlanTrial,
    total: float,
    progress: Progress = no_progress,
) -> tuple[LayerCost, ...]:
    """The costs of all layers, in graph order; zeros for those that stay float.

    Args:
        assigned: the float graph with the choices of a plan.
        feeds: the clips of ``trial``.
        settings: weighting and memory.
        weights: of the same graph, with observations of these clips and choices.
        trial: of the same graph.
        total: divergence of the plan in it.

    Raises:
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """
    alone = _alone(assigned, feeds, settings, weights, progress)
    restored = _restored(assigned, trial, weights, total, progress)
    return tuple(replace(each, restored=restored[each.name]) for each in alone)


def _restored(
    assigned: AssignedModel,
    trial: PlanTrial,
    weights: CandidateWeights,
    total: float,
    progress: Progress,
) -> dict[str, float]:
    """What the plan loses less if a layer is float, by its name.

    Between static layers the result of one is on the grid of the next one's input. If that one is
    float, so is the result; all of the plan is then tried anew.
    """
    choices = assigned.choices
    restored = trial.marginals(choices, progress)
    layout = weights.layout(choices)
    results = set(layout.outputs.values())
    tied = {name for group in shared_weights(assigned.model, assigned.layers) for name in group}
    again = [name for name, value in layout.inputs.items() if value in results and name not in tied]
    for done, name in enumerate(again):
        progress("layers given back", done / len(again))
        restored[name] = total - trial.divergence({**choices, name: FLOAT_LAYER}).mean
    return restored


def _alone(
    assigned: AssignedModel,
    feeds: CalibrationData,
    settings: DivergenceSettings,
    weights: CandidateWeights,
    progress: Progress,
) -> list[LayerCost]:
    inputs = _Inputs(assigned, weights)
    limits = weights.largest_levels(assigned.choices)
    chosen = feeds.only(effort_for(settings, assigned.layers, feeds).clips)
    output = posterior_output(assigned.model)
    found = []
    with (
        workers(settings.workers) as pool,
        closing(Walk(assigned.model, output, chosen, memory=settings.memory, pool=pool)) as walk,
    ):
        reference = Reference(
            walk.clips, walk.results(), settings.weighting, walk.folder, settings.memory
        )

        def mean(change: Callable[[int], Change]) -> float:
            changes = pool.map(change, range(len(walk.clips)))
            return reference.mean(each.divergence for each in changes)

        for done, layer in enumerate(assigned.layers):
            progress("layers", done / len(assigned.layers))
            choice, target = assigned.choices[layer.name], weights.layer(layer.name)
            if choice.is_plain_float or target is None or not walk.graph.needs(target.position):
                found.append(LayerCost(layer.name))
                continue
            stored = weights.stored_by(target, choice.codec, limits.get(layer.name))
            stop = walk.go_to(Unit(layer.name, target.position, target.position))
            own = LayerTrial(
                walk, stop, target, reference, weights.replacements(target, target.values)
            )
            tried = _Tried(own, stored, weights.replacements(target, stored))
            by_weights = mean(tried.weights)
            rounded = inputs.rounding(target, choice)
            if rounded is None:
                found.append(LayerCost(layer.name, by_weights, 0.0, by_weights))
                continue
            by_inputs = mean(partial(tried.inputs, rounded))
            both = mean(partial(tried.both, rounded))
            found.append(LayerCost(layer.name, by_weights, by_inputs, both))
    return found


@dataclass(frozen=True)
class _Tried:
    """A layer with what the plan makes of it.

    Args:
        trial: of the layer.
        stored: its weight on the grid.
        shared: those of the layers that share it.
    """

    trial: LayerTrial
    stored: FloatArray
    shared: Mapping[str, FloatArray]

    def weights(self, clip: int) -> Change:
        return self.trial.with_weight(clip, self.stored, self.shared)

    def inputs(self, rounded: _Rounding, clip: int) -> Change:
        return self.trial.with_input(clip, rounded)

    def both(self, rounded: _Rounding, clip: int) -> Change:
        return self.trial.with_weight_and_input(clip, self.stored, self.shared, rounded)


class _Inputs:
    """The grids that inputs of layers are rounded to."""

    def __init__(self, assigned: AssignedModel, weights: CandidateWeights) -> None:
        self._ranges = weights.observations.ranges
        self._layout = weights.layout(assigned.choices)
        self._repeated = repeated_nodes(assigned.model)

    def rounding(self, layer: FloatLayer, choice: LayerChoice) -> _Rounding | None:
        """None where the layer reads floats, or more than one value."""
        if choice.compute not in ("static", "dynamic") or not layer.placed.is_plain_product:
            return None
        bounds, bits = None, choice.activation_bits
        if choice.compute == "static":
            value = self._layout.inputs[layer.name]
            bounds, bits = self._ranges[value], self._layout.bits[value]
        return rounding(choice.compute, bits, bounds, by_token=layer.name in self._repeated)

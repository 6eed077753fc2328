"""How far a whole plan moves the posteriors, and how much of that each of its layers is to blame.

The sum of what layers do alone is not what they do together: errors add up, cancel, or are cut off
by what comes behind. Here all layers are quantized at once, in float (see
:mod:`quantkit.sensitivity.simulation`), and one of them at a time is given back what it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from quantkit.graph.cut import ValueType
from quantkit.graph.layers import Layer
from quantkit.quantize.calibrate import Feed
from quantkit.quantize.feeds import Feeds
from quantkit.quantize.fitting import Fitting
from quantkit.quantize.observations import Observations
from quantkit.quantize.settings import LayerChoice
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence import Progress
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort
from quantkit.sensitivity.posteriors import posterior_output
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.simulation import Simulation, simulate
from quantkit.sensitivity.walk import Walk


def measure_plan(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: Feeds,
    settings: DivergenceSettings,
    *,
    observations: Observations,
    fitting: Fitting,
) -> float:
    """Divergence of the model that ``choices`` lead to, in nats per frame.

    Args:
        model: the float graph, after all passes; is not changed.
        layers: of it, in graph order.
        choices: by layer name; layers that share a weight have the same codec.
        feeds: the clips; those that :func:`~quantkit.sensitivity.divergence.measure_divergence`
            would use are used.
        settings: weighting and seconds of audio.
        observations: of the clips with these choices, or with more.
        fitting: how levels are found.

    Raises:
        InputError: the range of a static layer was not observed.
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """
    weights = CandidateWeights(model, layers, observations, fitting)
    with _pair(model, layers, choices, feeds, settings, weights) as pair:
        return pair.total()


def measure_marginals(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: Feeds,
    settings: DivergenceSettings,
    *,
    observations: Observations,
    fitting: Fitting,
    progress: Progress | None = None,
) -> dict[str, float]:
    """What giving one layer back its float weight and input takes off the plan's divergence.

    Below 0 where the layer's error happens to make good what others do; 0 for layers that are
    float in the plan. One that shares its weight with others gives the float weight to all.

    Args and raises as :func:`measure_plan`.

    Returns:
        nats per frame by layer name.
    """
    marginals = dict.fromkeys((layer.name for layer in layers), 0.0)
    weights = CandidateWeights(model, layers, observations, fitting)
    with _pair(model, layers, choices, feeds, settings, weights) as pair:
        total = pair.total()
        units = pair.simulation.units
        for done, name in enumerate(units):
            if progress is not None:
                progress(name, done, len(units))
            if pair.walk.graph.needs(units[name].last):
                marginals[name] = total - pair.restored(name)
    return marginals


@dataclass(frozen=True)
class _Pair:
    """The float model and the plan's, with the same clips."""

    floating: Walk
    walk: Walk
    simulation: Simulation
    weights: CandidateWeights
    reference: Reference
    pool: ThreadPoolExecutor

    def total(self) -> float:
        results = enumerate(self.walk.results())
        return self.reference.mean(
            self.reference.divergence(clip, values) for clip, values in results
        )

    def restored(self, name: str) -> float:
        """Divergence of the plan with layer ``name`` as it was."""
        layer = self.weights.layer(name)
        assert layer is not None
        stop = self.walk.go_to(self.simulation.units[name])
        output = str(layer.node.output[0])
        source = next(n for n in layer.node.input if n and n != layer.weight)
        original = self.floating.part({source: stop.input_types[source]}, [output])
        shared = {}
        for other in self.weights.sharing(name):
            sibling = self.weights.layer(other)
            if other != name and sibling is not None and other in self.simulation.weights:
                shared[self.simulation.weights[other]] = sibling.values
        stop.prepare({n: ValueType(TensorProto.FLOAT, v.shape) for n, v in shared.items()})

        def run(clip: int) -> float:
            made = original.run(stop.inputs(clip), self.walk.clips[clip])
            return self.reference.divergence(clip, stop.finish(clip, made, shared))

        return self.reference.mean(self.pool.map(run, range(len(self.walk.clips))))


@contextmanager
def _pair(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: Feeds,
    settings: DivergenceSettings,
    weights: CandidateWeights,
) -> Iterator[_Pair]:
    wanted = effort(settings, layers, feeds.clips, feeds.seconds)
    output = posterior_output(model)

    def chosen() -> Iterator[Feed]:
        return (feed for i, feed in enumerate(feeds) if i in wanted.clips)

    simulation = simulate(model, choices, weights)
    with (
        Walk(model, output, chosen(), memory=settings.memory) as floating,
        Walk(simulation.model, output, chosen(), memory=settings.memory) as walk,
        ThreadPoolExecutor(settings.workers) as pool,
    ):
        reference = Reference(
            floating.clips,
            floating.results(),
            settings.weighting,
            floating.folder,
            settings.memory,
        )
        yield _Pair(floating, walk, simulation, weights, reference, pool)

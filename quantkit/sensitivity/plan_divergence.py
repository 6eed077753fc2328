"""How far a whole plan moves the posteriors, and how much of that each of its layers is to blame.

The sum of what layers do alone is not what they do together: errors add up, cancel, or are cut off
by what comes behind. Here all layers are quantized at once, in float (see
:mod:`quantkit.sensitivity.simulation`), and one of them at a time is given back what it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from quantkit.arrays import FloatArray
from quantkit.calibration.calibrate import Feed
from quantkit.calibration.data import CalibrationData
from quantkit.graph.layers import Layer
from quantkit.graph.partition import ValueType
from quantkit.progress import Progress
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.parallel import workers
from quantkit.sensitivity.candidate_weights import CandidateWeights
from quantkit.sensitivity.divergence_settings import DivergenceSettings, effort_for
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.layerwise import Walk
from quantkit.sensitivity.reference import Reference
from quantkit.sensitivity.simulation import Simulation, simulate


class PlanTrial:
    """Tries plans for one model on the same clips; to be closed in the end.

    ::

        weights = CandidateWeights(model, layers, observations, fitting)
        trial = PlanTrial(model, layers, feeds, settings, weights)
        with closing(trial):
            print(trial.divergence(choices).mean)

    Args:
        model: the float graph, after all passes; is not changed.
        layers: of it, in graph order.
        feeds: the clips; those that :func:`~quantkit.sensitivity.divergence.measure_divergence`
            would use are used.
        settings: weighting and seconds of audio.
        weights: of ``model``, with observations of the clips for the choices that will be tried.

    Raises:
        ModelError, CorpusError, OutputError: see
            :func:`~quantkit.sensitivity.divergence.measure_divergence`.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        layers: Sequence[Layer],
        feeds: CalibrationData,
        settings: DivergenceSettings,
        weights: CandidateWeights,
    ) -> None:
        self._model = model
        self._layers = layers
        self._settings = settings
        self._weights = weights
        self._output = posterior_output(model)
        chosen = feeds.only(effort_for(settings, layers, feeds).clips)
        self._latest: tuple[dict[str, LayerChoice], _Quantized] | None = None
        self._open = ExitStack()
        try:
            self._pool = self._open.enter_context(workers(settings.workers))
            self._floating = self._walk(model, chosen)
            self._reference = Reference(
                self._floating.clips,
                self._floating.results(),
                settings.weighting,
                self._floating.folder,
                settings.memory,
            )
        except BaseException:
            self._open.close()
            raise

    def close(self) -> None:
        """Give back temporary files and threads."""
        self._open.close()

    def divergence(self, choices: Mapping[str, LayerChoice]) -> Estimate:
        """Of the model that ``choices`` lead to, in nats per frame.

        Args:
            choices: by layer name; layers that share a weight have the same codec.

        Raises:
            InputError: the range of a static layer was not observed.
            ModelError, OutputError: as for the class.
        """
        return self._quantized(choices).total

    def marginals(
        self, choices: Mapping[str, LayerChoice], progress: Progress | None = None
    ) -> dict[str, float]:
        """What giving one layer back its float weight and input takes off the plan's divergence.

        Below 0 where the layer's error happens to make good what others do; 0 for layers that are
        float in the plan. One that shares its weight with others gives the float weight to all.
        The grids of other layers stay, also of one whose result is rounded for this one's sake.

        Args and raises as :meth:`divergence`.

        Returns:
            nats per frame by layer name.
        """
        marginals = dict.fromkeys((layer.name for layer in self._layers), 0.0)
        quantized = self._quantized(choices)
        # The walk ends here, and goes only one way.
        self._latest = None
        units = quantized.simulation.units
        with closing(quantized.walk):
            for done, name in enumerate(units):
                if progress is not None:
                    progress("marginals", done / len(units))
                if quantized.walk.graph.needs(units[name].last):
                    marginals[name] = quantized.total.mean - self._restored(quantized, name)
        return marginals

    def _quantized(self, choices: Mapping[str, LayerChoice]) -> _Quantized:
        """The plan's model, which stays open until the next plan."""
        if self._latest is None or self._latest[0] != choices:
            if self._latest is not None:
                self._latest[1].walk.close()
            self._latest = None
            self._encode(choices)
            simulation = simulate(self._model, choices, self._weights)
            walk = self._walk(simulation.model, self._floating.feeds())
            total = self._reference.estimate(
                self._reference.divergence(clip, values)
                for clip, values in enumerate(walk.results())
            )
            self._latest = dict(choices), _Quantized(simulation, walk, total)
        return self._latest[1]

    def _encode(self, choices: Mapping[str, LayerChoice]) -> None:
        """Have all weights ready, side by side; simulating then finds them kept."""

        limits = self._weights.largest_levels(choices)

        def encode(name: str) -> None:
            layer = self._weights.layer(name)
            if layer is not None and not choices[name].is_plain_float:
                self._weights.stored_by(layer, choices[name].codec, limits.get(name))

        # The largest first, so that no thread waits long for the last.
        ordered = sorted(self._layers, key=lambda layer: -layer.parameters)
        list(self._pool.map(encode, (layer.name for layer in ordered)))

    def _walk(self, model: onnx.ModelProto, feeds: Iterable[Feed]) -> Walk:
        walk = Walk(model, self._output, feeds, memory=self._settings.memory, pool=self._pool)
        self._open.callback(walk.close)
        return walk

    def _restored(self, quantized: _Quantized, name: str) -> float:
        """Divergence of the plan with layer ``name`` as it was."""
        layer, simulation, walk = self._weights.layer(name), quantized.simulation, quantized.walk
        assert layer is not None
        stop = walk.go_to(simulation.units[name])
        shared = {}
        for other in self._weights.sharing(name):
            sibling = self._weights.layer(other)
            if other != name and sibling is not None and other in simulation.weights:
                shared[simulation.weights[other]] = sibling.values
        types = {n: ValueType(TensorProto.FLOAT, v.shape) for n, v in shared.items()}
        stop.prepare(types)
        if layer.placed.is_plain_product:
            output = str(layer.node.output[0])
            source = next(n for n in layer.node.input if n and n != layer.weight)
            original = self._floating.part({source: stop.input_types[source]}, [output])
            fed: dict[str, FloatArray] = {}
        else:
            # Only this weight of the node is as it was; grids inside stay.
            fed = {simulation.weights[name]: layer.values, **shared}
            own = {n: ValueType(TensorProto.FLOAT, v.shape) for n, v in fed.items()}
            original = walk.part({**stop.input_types, **own}, stop.outputs)

        def run(clip: int) -> float:
            made = original.run({**stop.inputs(clip), **fed}, walk.clips[clip])
            return self._reference.divergence(clip, stop.finish(clip, made, shared))

        return self._reference.mean(self._pool.map(run, range(len(walk.clips))))


@dataclass(frozen=True)
class _Quantized:
    """A plan's model in float, ready to be walked through, and its divergence."""

    simulation: Simulation
    walk: Walk
    total: Estimate

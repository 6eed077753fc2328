"""Run the calibration clips once, for all observations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import onnx

from quantkit.calibration.calibrate import Feed, Tracker, Watched, calibrate
from quantkit.calibration.input_moments import FirstStates, InputMoments, input_moments
from quantkit.calibration.input_samples import InputSamples, input_samples
from quantkit.calibration.observations import Observations
from quantkit.calibration.ranges import SEARCHES, UNREAD, Moments, RangeTracker, tracker
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import layer_weights
from quantkit.quantization.channel_use import channel_use, counted
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.choices.target_cpu import is_fitted
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.tied_weights import limited_layers, share_moments, shared_weights

TrackerType = TypeVar("TrackerType", bound=Tracker)


def observe(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    choices: Mapping[str, LayerChoice],
    feeds: Iterable[Feed],
    fitting: PtqSettings,
    *,
    observed: dict[Hashable, Tracker] | None = None,
    advance: Callable[[float], None] | None = None,
) -> Observations:
    """The observations of values in ``model`` that ``choices`` and ``fitting`` need.

    If everything is known already, no clip is run.

    Args:
        model: float, with its nodes named.
        observed: trackers that have already observed ``feeds`` in ``model``; new ones are added.
            None: none.
        advance: see :func:`~quantkit.calibration.calibrate.calibrate`.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    followed = _Followed({} if observed is None else observed)
    constants = {tensor.name for tensor in model.graph.initializer}
    layout = static_layout(model, choices)
    read = set(layout.inputs.values())
    ranges: dict[str, RangeTracker] = {}
    for value, name in layout.tensors().items():
        label, bits = choices[name].range, layout.coarsest_bits(value)
        if label in SEARCHES and value not in read:
            # No layer's output says what its range should be.
            label = UNREAD
        fresh = tracker(label, bits)
        ranges[value] = followed.add(value, name, (label, bits), fresh)
    weights = layer_weights(GraphEditor(model))
    limited = limited_layers(model, layers, choices, fitting)
    few_levels = [
        layer
        for layer in layers
        if is_fitted(choices[layer.name].codec.make(), limited=layer.name in limited)
    ]
    fitted = [layer.name for layer in few_levels]
    moments = {
        name: followed.add(value, name, axis, Moments(axis))
        for name in fitted
        if (weight := weights[name]).meets_first_input
        for value in (str(weight.node.input[0]),)
        if value not in constants
        for axis in (weight.operator.input_axis(weight.editor, weight.node),)
    }
    # What a recurrent weight meets is a result of its node.
    recurrent = [name for name in fitted if not weights[name].operator.is_linear]
    with_matrix = {*moments, *recurrent} if fitting.rounding == "compensated" else set()
    matrices = {
        name: followed.add(each.geometry.value, name, each.geometry, each)
        for name, each in input_moments(model, with_matrix, followed.known(InputMoments)).items()
    }
    for name, each in matrices.items():
        if first := each.geometry.first:
            followed.add(first, name, each.geometry, FirstStates(each))
    searched = _searched(choices, fitting)
    samples = {
        name: followed.add(each.geometry.value, name, each.geometry, each)
        for name, each in input_samples(model, searched, followed.known(InputSamples)).items()
    }
    uses = {
        name: replace(each, tracker=followed.add(each.value, name, each.channels, each.tracker))
        for name, each in channel_use(model, few_levels).items()
    }
    followed.run(model, feeds, advance)
    squares = {name: each.mean_square() for name, each in moments.items()}
    means = {name: each.mean() for name, each in moments.items()}
    known = {name: values for name, values in squares.items() if values is not None}
    shared = shared_weights(model, layers)
    return Observations(
        ranges={value: each.result() for value, each in ranges.items()},
        second_moments=share_moments(known, shared),
        means={name: values for name, values in means.items() if values is not None},
        matrices=share_moments(matrices, shared),
        samples=samples,
        channel_use=counted(uses, shared),
    )


def _searched(choices: Mapping[str, LayerChoice], fitting: PtqSettings) -> list[str]:
    """Layers whose ranges are searched for what comes out of them."""
    weights = fitting.weight_range in SEARCHES
    return [
        name
        for name, choice in choices.items()
        if choice.range in SEARCHES or (weights and not choice.codec.is_float)
    ]


class _Followed:
    """Trackers by observed value, including those that have already observed all clips."""

    def __init__(self, observed: dict[Hashable, Tracker]) -> None:
        self._observed = observed
        self._fresh: dict[Hashable, Tracker] = {}
        self._watched: dict[str, tuple[str, list[Tracker]]] = {}

    def known(self, kind: type[TrackerType]) -> list[TrackerType]:
        """All trackers of a kind that have observed the clips."""
        return [each for each in self._observed.values() if isinstance(each, kind)]

    def add(self, value: str, layer: str, what: Hashable, fresh: TrackerType) -> TrackerType:
        """The tracker that follows ``what`` of ``value``: ``fresh``, unless there is one.

        Args:
            layer: name of the value in messages.
        """
        key = type(fresh), value, what
        found = self._observed.get(key) or self._fresh.get(key)
        if found is None:
            self._fresh[key] = found = fresh
            self._watched.setdefault(value, (layer, []))[1].append(fresh)
        assert isinstance(found, type(fresh))
        return found

    def run(
        self,
        model: onnx.ModelProto,
        feeds: Iterable[Feed],
        advance: Callable[[float], None] | None,
    ) -> None:
        """Run all clips for the new trackers."""
        if self._fresh:
            watched = {
                value: Watched(layer, tuple(trackers))
                for value, (layer, trackers) in self._watched.items()
            }
            calibrate(model, watched, feeds, advance=advance)
            self._observed |= self._fresh

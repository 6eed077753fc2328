"""The numbers of a file, put into the float graph that it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.calibration.observations import Observations
from quantkit.calibration.ranges import StoredGrid
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.kernels.static import StaticLayout
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.rewrite import static_layout
from quantkit.quantization.stored import StoredForm
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer, StoredWeight


@dataclass(frozen=True)
class StoredNumbers:
    """What a file has of the layers of a float graph.

    Args:
        choices: of the layers in the file.
        weights: by the name of the layer in the float graph.
        grids: by the name of the value that is rounded.
        results: values that the file rounds because a layer makes them, by that layer; None: those
            that quantkit would round.
        unread: layers that are quantized, and that the file was not understood to have.
    """

    choices: Mapping[str, LayerChoice]
    weights: Mapping[str, StoredWeight]
    grids: Mapping[str, StoredGrid]
    results: Mapping[str, str] | None = None
    unread: tuple[str, ...] = ()

    def input_range(self, layer: str, layout: StaticLayout) -> tuple[float, float] | None:
        """What the file's grid of a layer's input spans."""
        grid = self.grids.get(layout.inputs.get(layer, ""))
        return None if grid is None else (grid.lowest, grid.highest)


@dataclass
class _Found:
    weights: dict[str, StoredWeight] = field(default_factory=dict)
    grids: dict[str, StoredGrid] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


def stored_numbers(
    assigned: AssignedModel,
    forms: Mapping[str, StoredForm],
    results: Mapping[str, str] | None = None,
) -> StoredNumbers:
    """The numbers of ``forms`` for the layers of ``assigned``.

    Args:
        assigned: the float graph with the choices of the file.
        forms: by the name of the layer in the float graph.
        results: see :class:`StoredNumbers`.
    """
    placed = layer_weights(GraphEditor(assigned.model))
    layout = static_layout(assigned.model, assigned.choices)
    made = layout.outputs if results is None else results
    found = _Found()
    for name, choice in assigned.choices.items():
        if choice.is_plain_float:
            continue
        form = forms.get(name)
        weight = None if form is None else form.weight_for(placed[name])
        if form is None or weight is None:
            found.unread.append(name)
            continue
        found.weights[name] = StoredWeight(weight, _taken_off(placed[name], form))
        if choice.compute != "static":
            continue
        value = layout.inputs[name]
        bits = layout.bits[value] if choice.is_emulated else layout.integer_bits(value)
        if form.input_grid is None:
            found.unread.append(name)
        elif not choice.is_emulated or value not in found.grids:
            found.grids[value] = form.input_grid.of_bits(bits)
        if name in made and form.output_grid is not None:
            value = made[name]
            found.grids.setdefault(value, form.output_grid.of_bits(layout.integer_bits(value)))
    return StoredNumbers(
        assigned.choices, found.weights, found.grids, results, tuple(dict.fromkeys(found.unread))
    )


def float_bias(layer: LayerWeight) -> tuple[str, FloatArray] | None:
    """The bias of a float layer, its name and its numbers; None where it has none of its own."""
    place = layer.operator.bias_place(layer.editor, layer.node)
    if place is None:
        return None
    name = str(place[0].input[place[1]])
    bias = layer.editor.array(name)
    return None if bias is None else (name, bias.astype(np.float32))


def _taken_off(layer: LayerWeight, form: StoredForm) -> FloatArray | None:
    known = float_bias(layer)
    if known is None or form.bias is None:
        return None
    bias = known[1].reshape(-1)
    # A kernel may have channels of zeros behind the layer's own.
    if form.bias.size < bias.size:
        return None
    taken_off: FloatArray = bias - form.bias[: bias.size]
    return taken_off if taken_off.any() else None


class FileWeights(CandidateWeights):
    """The weights of a float graph, and those of a file that was made from it.

    What a layer has in the file is the file's, bit for bit; what it would have with another codec
    is what quantkit would make of it.

    Args:
        assigned: the float graph with the choices of the file.
        observations: of some clips, for other choices.
        numbers: of the file.
    """

    def __init__(
        self, assigned: AssignedModel, observations: Observations, numbers: StoredNumbers
    ) -> None:
        super().__init__(
            assigned.model,
            assigned.layers,
            replace(observations, ranges={**observations.ranges, **numbers.grids}),
            assigned.fitting,
            assigned.prepared.cache.encodings,
        )
        self._numbers = numbers

    def layer(self, name: str) -> FloatLayer | None:
        found = super().layer(name)
        return None if found is None else replace(found, stored=self._numbers.weights.get(name))

    def stored_by(
        self, layer: FloatLayer, codec: CodecChoice, largest_level: int | None
    ) -> FloatArray:
        if layer.stored is not None and codec == self._numbers.choices[layer.name].codec:
            return layer.stored.values
        return super().stored_by(layer, codec, largest_level)

    def layout(self, choices: Mapping[str, LayerChoice]) -> StaticLayout:
        usual = super().layout(choices)
        results = self._numbers.results
        if results is None:
            return usual
        own = {name: value for name, value in results.items() if choices[name].compute == "static"}
        return replace(usual, outputs=own)

"""The quantized model as it is trained: the float graph with every number on its file's grid.

The graph is that of :mod:`quantkit.sensitivity.simulation`, which agrees with the finished file;
its quantized weights are :class:`~quantkit.finetuning.weights.TrainedWeight`. Batch norm is part of
the convolutions by then, and the ranges of activations stay as calibrated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from quantkit.arrays import FloatArray
from quantkit.calibration.data import CalibrationData
from quantkit.calibration.observations import Observations
from quantkit.codecs.base import Encoded
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.finetuning.graph import TorchGraph
from quantkit.finetuning.layouts import Positions, RecordingStore, copied, kernel_positions
from quantkit.finetuning.weight_forms import trained_weight
from quantkit.finetuning.weights import TrainedWeight
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.graph.plan import Plan
from quantkit.quantization.pipeline import build, encode_ahead
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.rewrite import rewrite
from quantkit.quantization.tied_weights import shared_weights
from quantkit.quantization.weights import WeightStore, transposed_encoding
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer
from quantkit.sensitivity.simulation import simulate


@dataclass(frozen=True)
class _Place:
    """Where a trained weight belongs in the simulated graph.

    Args:
        constant: that it stands for.
        shape: of the float layer's weight.
        order: for each of its numbers the place among the rows of the kernel's; None: the same.
        kernel_axis: dimension of the output channels of the weight as its codec is given it.
    """

    constant: str
    shape: tuple[int, ...]
    order: Tensor | None
    kernel_axis: int


class Student(nn.Module):
    """A quantized model in PyTorch; all its trained numbers are parameters.

    Args:
        graph: simulated, without the constants that are given in each run.
        weights: by layer; layers that share a weight have one.
        places: of the same layers.
        biases: first values by name of the constant.
        corrections: what was added to them for the first levels, likewise.
    """

    def __init__(
        self,
        graph: TorchGraph,
        weights: Mapping[str, TrainedWeight],
        places: Mapping[str, _Place],
        biases: Mapping[str, FloatArray],
        corrections: Mapping[str, FloatArray],
    ) -> None:
        super().__init__()
        self._graph = graph
        self.layers = tuple(weights)
        different = list(dict.fromkeys(weights.values()))
        self._weights = nn.ModuleList(different)
        self._numbers = {name: different.index(weight) for name, weight in weights.items()}
        self._places = tuple(places[name] for name in weights)
        self._bias_names = tuple(biases)
        self._corrections = dict(corrections)
        # In units of the layer's root mean square, as weights are.
        self._units = [
            float(np.sqrt(np.mean(b**2, dtype=np.float64))) or 1.0 for b in biases.values()
        ]
        self._biases = nn.ParameterList(
            nn.Parameter(torch.from_numpy(np.ascontiguousarray(values)) / unit)
            for values, unit in zip(biases.values(), self._units, strict=True)
        )

    @property
    def weights(self) -> dict[str, TrainedWeight]:
        """By layer; of layers that share one, by the first of them."""
        found: dict[str, TrainedWeight] = {}
        for name, number in self._numbers.items():
            weight = self._weights[number]
            if isinstance(weight, TrainedWeight) and weight not in found.values():
                found[name] = weight
        return found

    def encoded(self) -> dict[str, Encoded]:
        """What is stored of each layer."""
        made = {self._numbers[name]: weight.encoded() for name, weight in self.weights.items()}
        found = {}
        for (name, number), place in zip(self._numbers.items(), self._places, strict=True):
            encoded = made[number]
            if encoded.axis != place.kernel_axis:
                encoded = transposed_encoding(encoded)
            found[name] = encoded
        return found

    @property
    def biases(self) -> dict[str, FloatArray]:
        """By name of the constant in the float graph."""
        return {
            name: (bias.detach() * unit).numpy()
            for name, bias, unit in zip(self._bias_names, self._biases, self._units, strict=True)
        }

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The graph's outputs by name."""
        values = dict(inputs)
        rows = [weight().reshape(-1) for weight in self._weights]
        for number, place in zip(self._numbers.values(), self._places, strict=True):
            numbers = rows[number]
            if place.order is not None:
                numbers = numbers[place.order]
            values[place.constant] = numbers.reshape(place.shape)
        for name, bias, unit in zip(self._bias_names, self._biases, self._units, strict=True):
            values[name] = bias * unit
        outputs: dict[str, Tensor] = self._graph(values)
        return outputs

    @contextmanager
    def as_stored(self) -> Iterator[None]:
        """In the block, all weights are on their nearest levels, as a file would hold them."""
        forms = [weight.form for weight in self.weights.values()]
        for weight in self.weights.values():
            weight.form = "nearest"
        try:
            yield
        finally:
            for weight, form in zip(self.weights.values(), forms, strict=True):
                weight.form = form

    def return_to_float(self) -> None:
        """Make weights and biases those of the float model."""
        for weight in self.weights.values():
            weight.return_to_float()
        with torch.no_grad():
            for name, bias, unit in zip(self._bias_names, self._biases, self._units, strict=True):
                if name in self._corrections:
                    correction = self._corrections[name].reshape(bias.shape)
                    bias.sub_(torch.from_numpy(correction) / unit)

    def forget_float(self) -> None:
        """Give back the memory of what :meth:`return_to_float` needs."""
        for weight in self.weights.values():
            weight.forget_float()

    def refresh(self) -> None:
        """See :meth:`TrainedWeight.refresh`."""
        for weight in self.weights.values():
            weight.refresh()

    def groups(self, rate: float, scale_rate: float) -> list[dict[str, object]]:
        """Parameters for an optimizer: weights and biases, and scales and tables with theirs."""
        grids = [
            p
            for weight in self._weights
            for name, p in weight.named_parameters()
            if name != "steps" and p.requires_grad
        ]
        known = {id(p) for p in grids}
        others = [p for p in self.parameters() if id(p) not in known and p.requires_grad]
        return [{"params": others, "lr": rate}, {"params": grids, "lr": scale_rate}]


def make_student(
    assigned: AssignedModel, observations: Observations, outputs: Sequence[str]
) -> Student:
    """The model of ``assigned`` as post-training quantization leaves it, ready to be trained.

    Biases of its layers get constants of their own in ``assigned.model``.

    Args:
        outputs: that are to be computed.

    Raises:
        InputError: two layers share a weight that their kernels read in different forms, or none
            is quantized.
        ModelError: an operator of the graph has no gradient here.
    """
    groups = {
        name: group for group in shared_weights(assigned.model, assigned.layers) for name in group
    }
    biases = _own_biases(assigned)
    first = _quantized(assigned, observations)
    if not first.made:
        raise InputError("nothing to train: the plan leaves all layers float32")
    positions = kernel_positions(assigned, observations)
    limits = assigned.largest_levels()
    candidates = _AsTheyAre(assigned.model, assigned.layers, observations, assigned.fitting)
    weights: dict[str, TrainedWeight] = {}
    orders: dict[str, Tensor | None] = {}
    corrections: dict[str, FloatArray] = {}
    for name, encoded in first.made.items():
        layer = candidates.layer(name)
        assert layer is not None
        codec = assigned.choices[name].codec.make()
        order = _inverse(positions[name], encoded.axis)
        tied = next((other for other in groups.get(name, ()) if other in weights), None)
        if tied is not None:
            weights[name] = weights[tied]
            _require_alike(first, tied, name)
        else:
            weights[name] = trained_weight(codec, first.given[name], encoded, limits.get(name))
        orders[name] = order
        if name in biases and first.is_corrected(name):
            rows = weights[name]().detach().reshape(-1).numpy()
            float_rows = rows if order is None else rows[order.numpy()]
            shift = layer.shift(float_rows.reshape(layer.values.shape))
            if shift is not None:
                corrections[biases[name]] = (-shift).astype(np.float32)
                _add(assigned.model, biases[name], -shift)
    simulation = simulate(
        assigned.model,
        assigned.choices,
        # What biases take up is in them already.
        _AsTheyAre(
            assigned.model,
            assigned.layers,
            observations,
            replace(assigned.fitting, bias_correction=False),
        ),
    )
    graph = TorchGraph(simulation.model, outputs)
    places = {}
    for name, constant in simulation.weights.items():
        shape, made = tuple(graph.constant(constant).shape), first.made[name]
        places[name] = _Place(constant, shape, orders[name], made.axis)
    for constant in {place.constant for place in places.values()}:
        graph.forget(constant)
    values = {name: graph.constant(name).numpy() for name in biases.values()}
    for name in values:
        graph.forget(name)
    return Student(graph, {n: weights[n] for n in places}, places, values, corrections)


def finished(
    assigned: AssignedModel,
    observations: Observations,
    student: Student,
    feeds: CalibrationData | None = None,
) -> tuple[onnx.ModelProto, Plan]:
    """The quantized model that holds what ``student`` has learned, and its plan.

    The float model in ``assigned`` is used up.

    Args:
        feeds: that it was taught on, for the metadata.
    """
    tensors = {tensor.name: tensor for tensor in assigned.model.graph.initializer}
    for name, values in student.biases.items():
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    store = TrainedStore(
        {name: choice.codec.make() for name, choice in assigned.choices.items()},
        observations,
        replace(assigned.fitting, bias_correction=False),
        largest_levels=assigned.largest_levels(),
        trained=student.encoded(),
    )
    return build(assigned, observations, store, feeds)


@dataclass
class TrainedStore(WeightStore):
    """Gives each layer the weight that was trained.

    Args:
        trained: by layer.
    """

    trained: Mapping[str, Encoded] | None = None

    def encode(
        self,
        layer: str,
        values: FloatArray,
        axis: int,
        importance: FloatArray | None = None,
        *,
        bias: bool = False,
        order: npt.NDArray[np.intp] | None = None,
    ) -> Encoded:
        """See :meth:`WeightStore.encode`."""
        assert self.trained is not None
        return self.trained[layer]


class _AsTheyAre(CandidateWeights):
    """Float weights in the place of stored ones: trained ones will take it."""

    def stored_by(
        self, layer: FloatLayer, codec: CodecChoice, largest_level: int | None
    ) -> FloatArray:
        return layer.values


def _quantized(assigned: AssignedModel, observations: Observations) -> RecordingStore:
    """What post-training quantization makes of every weight."""
    limits = assigned.largest_levels()
    encode_ahead(assigned, observations, limits)
    store = RecordingStore(
        {name: choice.codec.make() for name, choice in assigned.choices.items()},
        observations,
        assigned.fitting,
        encodings=assigned.prepared.cache.encodings,
        largest_levels=limits,
    )
    rewrite(
        copied(assigned.model),
        assigned.choices,
        observations.ranges,
        store,
        pack=False,
        skip_passes=assigned.skip_passes,
    )
    return store


def _own_biases(assigned: AssignedModel) -> dict[str, str]:
    """Give the bias of each quantized layer a constant of its own; its name by layer."""
    editor = GraphEditor(assigned.model)
    names: dict[str, str] = {}
    for name, weight in layer_weights(editor).items():
        choice = assigned.choices.get(name)
        if choice is None or choice.is_plain_float:
            continue
        place = weight.operator.bias_place(editor, weight.node)
        if place is None:
            if own := _uncorrected_bias(weight):
                names[name] = own
            continue
        node, position = place
        values = editor.array(node.input[position])
        if values is None or values.dtype != np.float32:
            continue
        names[name] = editor.constant(f"{name}.trained_bias", values)
        editor.set_input(node, position, names[name])
    editor.finish()
    return names


def _uncorrected_bias(weight: LayerWeight) -> str:
    """Name of the bias of a node that takes up no errors of its weights, as recurrent ones.

    It is trained with the weight that counts it as its own, and keeps its name: a longer one could
    make the file larger than was foretold. Empty where there is none, or others read it, too.
    """
    bias = weight.own_bias()
    if bias is None or bias.dtype != np.float32 or not weight.slot.has_bias:
        return ""
    assert weight.operator.bias_input is not None
    name = str(weight.node.input[weight.operator.bias_input])
    return name if weight.editor.only_consumer(name) is not None else ""


def _require_alike(first: RecordingStore, one: str, other: str) -> None:
    """Refuse to train one weight for two layers whose kernels do not read the same, or transposed.

    Raises:
        InputError: they do not.
    """
    mine, theirs = (first.given[name] for name in (one, other))
    if first.made[one].axis != first.made[other].axis:
        theirs = theirs.T
    if mine.shape != theirs.shape or not np.array_equal(mine, theirs):
        raise InputError(
            f"layers {one} and {other} share one weight, which their kernels read in different "
            "forms: it cannot be trained; leave one of them float32"
        )


def _add(model: onnx.ModelProto, name: str, values: FloatArray) -> None:
    (tensor,) = (each for each in model.graph.initializer if each.name == name)
    before = numpy_helper.to_array(tensor)
    after = (before + values.reshape(before.shape)).astype(np.float32)
    tensor.CopyFrom(numpy_helper.from_array(after, name))


def _inverse(positions: Positions, axis: int) -> Tensor | None:
    """For each number of the float weight its place among the kernel's rows; None: the same."""
    rows = np.moveaxis(positions, axis, 0).reshape(-1)
    if np.array_equal(rows, np.arange(rows.size)):
        return None
    inverse = np.empty_like(rows)
    inverse[rows] = np.arange(rows.size)
    return torch.from_numpy(inverse)

"""One layer tried with other weights and other inputs, the rest of the model left as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import Array, FloatArray
from quantkit.graph.partition import ValueType
from quantkit.sensitivity.candidate_weights import Channels, FloatLayer
from quantkit.sensitivity.layerwise import Stop, Walk
from quantkit.sensitivity.reference import Reference


@dataclass(frozen=True)
class Change:
    """What one clip showed of a change; both add up over clips.

    Args:
        error: sum of squares of the error of the layer's output.
        divergence: of the posteriors, in nats; 0 where only the layer was run.
    """

    error: float
    divergence: float = 0.0


class LayerTrial:
    """A layer at which a walk has stopped; its methods may be called by several threads at once.

    Most layers are linear: the error of one is what it makes, without its bias, of the error of its
    weight or of its input. So one small model serves for all candidates, and the error is exact
    however small it is. A recurrent node, and one with a body in which the layer lies, is run with
    the other weight, and what it makes compared.

    Args:
        walk: has stopped there.
        replacements: weights of other layers that share that of this one, as they are.
    """

    def __init__(
        self,
        walk: Walk,
        stop: Stop,
        layer: FloatLayer,
        reference: Reference,
        replacements: Mapping[str, FloatArray],
    ) -> None:
        self._walk = walk
        self._stop = stop
        self._layer = layer
        self._reference = reference
        self._shared = dict(replacements)
        self._is_product = layer.placed.is_plain_product
        shared = {n: ValueType(TensorProto.FLOAT, v.shape) for n, v in self._shared.items()}
        stop.prepare(shared)
        if not self._is_product:
            weight = {layer.weight: ValueType(TensorProto.FLOAT, layer.values.shape)}
            self._whole = walk.part({**stop.input_types, **shared, **weight}, stop.outputs)
            return
        self._output = str(layer.node.output[0])
        self._source = next(n for n in layer.node.input if n and n != layer.weight)
        self._product = walk.open(_product(walk.graph.model, layer, self._source, stop))

    def input(self, clip: int) -> Array:
        """What the layer reads of one clip."""
        return self._stop.inputs(clip)[self._source]

    def power(self, clip: int, channels: Channels | None = None) -> float:
        """Sum of squares of the layer's output, of some channels or all."""
        if not self._is_product:
            return sum(_energy(each) for each in _floats(self._stop.made(clip)).values())
        made = self._stop.made(clip)[self._output]
        if channels is not None:
            made = np.take(made, channels, axis=self._layer.output_axis)
        return _energy(made)

    def with_weight(
        self,
        clip: int,
        weight: FloatArray,
        shared: Mapping[str, FloatArray],
        bias: FloatArray | None = None,
    ) -> Change:
        """The layer multiplies by ``weight``, others that share its own by those in ``shared``.

        Args:
            bias: (output channels,) that a linear layer adds, too.
        """
        if not self._is_product:
            made = self._run_whole(clip, weight, shared)
            result = self._stop.finish(clip, made, shared)
            return Change(self._difference(clip, made), self._reference.divergence(clip, result))
        error = self._weight_error(self._layer, clip, weight)
        if bias is not None:
            error = error + self._layer.over_positions(bias, error.ndim)
        return self._finish(clip, error, shared)

    def _run_whole(
        self, clip: int, weight: FloatArray, shared: Mapping[str, FloatArray]
    ) -> dict[str, Array]:
        """What the node makes with another weight."""
        fed = {**self._stop.inputs(clip), **shared, self._layer.weight: weight}
        return self._whole.run(fed, self._walk.clips[clip])

    def _difference(self, clip: int, made: Mapping[str, Array]) -> float:
        before = self._stop.made(clip)
        return sum(_energy(each - before[name]) for name, each in _floats(made).items())

    def with_weight_and_input(
        self,
        clip: int,
        weight: FloatArray,
        shared: Mapping[str, FloatArray],
        change: Callable[[Array], Array],
    ) -> Change:
        """Both at once; see :meth:`with_weight` and :meth:`with_input`. Plain products only."""
        error = self._weight_error(self._layer, clip, weight)
        values = self.input(clip)
        return self._finish(clip, error + self._run(clip, change(values) - values, weight), shared)

    def with_input(self, clip: int, change: Callable[[Array], Array]) -> Change:
        """The layer reads what ``change`` makes of its input."""
        return self._finish(clip, self._input_error(clip, change), self._shared)

    def error_of_input(self, clip: int, change: Callable[[Array], Array]) -> Change:
        """What that does to the layer's output; nothing behind it is run."""
        return Change(_energy(self._input_error(clip, change)))

    def _input_error(self, clip: int, change: Callable[[Array], Array]) -> FloatArray:
        values = self.input(clip)
        return self._run(clip, change(values) - values, self._layer.values)

    def error_of(self, clip: int, layer: FloatLayer, weight: FloatArray) -> Change:
        """What ``weight`` does to some output channels of the layer; nothing behind it is run."""
        if not self._is_product:
            return Change(self._difference(clip, self._run_whole(clip, weight, self._shared)))
        return Change(_energy(self._weight_error(layer, clip, weight)))

    def _weight_error(self, layer: FloatLayer, clip: int, weight: FloatArray) -> FloatArray:
        error = self._run(clip, self.input(clip), weight - layer.values)
        shift = layer.shift(weight)
        return error if shift is None else error - shift

    def _run(self, clip: int, values: Array, weight: FloatArray) -> FloatArray:
        fed = {self._source: values, self._layer.weight: weight}
        made: FloatArray = self._product.run(fed, self._walk.clips[clip])[self._output]
        return made

    def _finish(self, clip: int, error: FloatArray, shared: Mapping[str, FloatArray]) -> Change:
        made = {**self._stop.made(clip)}
        made[self._output] = made[self._output] + error
        result = self._stop.finish(clip, made, shared)
        return Change(_energy(error), self._reference.divergence(clip, result))


def _product(whole: onnx.ModelProto, layer: FloatLayer, source: str, stop: Stop) -> onnx.ModelProto:
    """The layer without its bias, as a model that takes input and weight."""
    node = layer.placed.operator.without_bias(layer.node)
    weight = [None] * layer.values.ndim
    inputs = [
        helper.make_tensor_value_info(name, element, shape)
        for name, element, shape in (
            (source, stop.input_types[source].element, stop.input_types[source].shape),
            (layer.weight, TensorProto.FLOAT, weight),
        )
    ]
    outputs = [onnx.ValueInfoProto(name=node.output[0])]
    graph = helper.make_graph([node], "layer", inputs, outputs)
    return helper.make_model(graph, opset_imports=whole.opset_import, ir_version=whole.ir_version)


def _floats(values: Mapping[str, Array]) -> dict[str, Array]:
    """What a node makes, without masks, lengths and the like."""
    return {name: each for name, each in values.items() if np.issubdtype(each.dtype, np.floating)}


def _energy(values: FloatArray) -> float:
    return float(np.square(values, dtype=np.float64).sum())

"""Last parts of split layers fitted to the whole model, given what the parts before really make.

Each layer's parts are found from what the whole model shows of that layer alone. In the split model
the inputs differ, because earlier layers are split, too, and errors of neighbouring frames are not
as independent as the maths of fewer inputs assumes. So layer by layer, in the order of the graph,
the last part V of each is fitted anew, by least squares over the clips, to

    min over V, b of  Σ ‖ t − (V z + b) ‖² + λ ‖ V − V₀ ‖²,

where z is what the part reads in the split model, with all layers before it fitted already, and t
is what the whole layer makes in the whole model: the asymmetric reconstruction of X. Zhang, J. Zou,
K. He and J. Sun, "Accelerating Very Deep Convolutional Networks for Classification and Detection",
2015, section 3.3. V₀ is what the part was before, and holds what few clips show little of.

Behind a ReLU only positive values count. There t is the target where that is positive, and
otherwise the value that the fit before gave, or zero if that was positive: a value that is cut off
may be anything below zero (ibid., equation 8, with a penalty that grows without bound).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from itertools import groupby
from typing import cast

import numpy as np
import onnx
from onnx import numpy_helper
from threadpoolctl import threadpool_limits

from quantkit.arrays import Array, Doubles, FloatArray
from quantkit.calibration.calibrate import Feed, require_finite
from quantkit.calibration.clip_runner import ClipRunner, Stage
from quantkit.calibration.clip_store import ClipStore
from quantkit.calibration.patches import patches
from quantkit.disk.temporary import TemporaryFolder
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import Geometry, LayerWeight, layer_weights
from quantkit.graph.partition import PartitionedGraph

# Share of the mean power of z: how much what was there before weighs.
_RIDGE = 1e-3
_LEAST_RIDGE = 1e-12
# Of targets behind a ReLU; each one costs as much as a product of all frames.
_ROUNDS = 4
# Weights of an output channel, at most: the moments of z are (inputs, inputs) doubles.
_MOST_INPUTS = 2048
# Bytes of targets and of z that are held in memory.
_MEMORY = 64_000_000
_TARGETS, _READ = "targets", "read"


def refit(
    whole: onnx.ModelProto, split: onnx.ModelProto, names: Iterable[str], feeds: Iterable[Feed]
) -> None:
    """Fit the last parts of layers ``names`` of ``split``, in place.

    Both models run all clips once, a layer after the other.

    Args:
        whole: the float model that ``split`` was made of; not changed.
        names: of split layers; those with too many weights per channel stay as they are.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    fits = _fits(whole, split, frozenset(names))
    if not fits:
        return
    with (
        threadpool_limits(1, user_api="blas"),
        closing(ClipRunner(whole)) as original,
        closing(ClipRunner(split)) as changing,
        TemporaryFolder("refit") as folder,
    ):
        targets, sources = [each.target for each in fits], [each.geometry.value for each in fits]
        wanted = original.run_in_stages(targets, feeds, len(fits))
        given = changing.run_in_stages(sources, feeds, len(fits))
        layers = groupby(wanted, lambda stage: tuple(stage.values))
        for each, (_, stages) in zip(fits, layers, strict=True):
            seen = ClipStore(folder, _MEMORY)
            for stage in stages:
                seen.append(each.rows(stage, next(given)))
            # Later stages of the same run compute with what was found.
            changing.replace(each.fitted(seen))
            seen.close()
    put = {tensor.name: tensor for each in fits for tensor in each.found}
    for tensor in split.graph.initializer:
        if tensor.name in put:
            tensor.CopyFrom(put[tensor.name])


def _fits(whole: onnx.ModelProto, split: onnx.ModelProto, names: frozenset[str]) -> list[_Fit]:
    editor = GraphEditor(whole)
    originals, parts = layer_weights(editor), layer_weights(GraphEditor(split))
    order = PartitionedGraph(whole, [originals[name].node.output[0] for name in names])
    found = []
    for name in sorted(names, key=lambda name: order.position(originals[name].node.output[0])):
        geometry = parts[name].geometry()
        if geometry is not None and geometry.inputs <= _MOST_INPUTS:
            found.append(_Fit(originals[name], parts[name], geometry))
    return found


class _Fit:
    """The last part of one layer.

    Args:
        original: the layer of the whole model.
        part: in the split one.
        geometry: of the part.
    """

    def __init__(self, original: LayerWeight, part: LayerWeight, geometry: Geometry) -> None:
        self.target, self.geometry = str(original.node.output[0]), geometry
        self._part, self._behind = part, _bias_behind(original)
        readers = original.editor.consumers.get(self.target, [])
        self._is_cut_off = len(readers) == 1 and readers[0].op_type == "Relu"
        place = part.operator.bias_place(part.editor, part.node)
        self._bias = "" if place is None else str(place[0].input[place[1]])
        #: What was found: the part's weight, and its bias if it has one.
        self.found: list[onnx.TensorProto] = []

    def rows(self, wanted: Stage, given: Stage) -> dict[str, Array]:
        """Of one clip: what the whole layer makes, and what the part reads.

        Raises:
            UnusableClipError: not all values are finite.
        """
        values = {_TARGETS: wanted.values[self.target], _READ: given.values[self.geometry.value]}
        for each in values.values():
            require_finite(each, self._part.name, wanted.clip)
        return values

    def fitted(self, seen: ClipStore) -> list[onnx.TensorProto]:
        """The part's constants, of all clips."""
        matrix = self._part.matrix().astype(np.float64)
        solution = matrix
        if self._bias:
            before = self._part.editor.array(self._bias)
            assert before is not None
            solution = np.column_stack([matrix, (before - self._behind).reshape(-1)])
        ridge: Doubles = np.zeros(solution.shape[1])
        prior, power = solution, np.zeros((len(ridge), len(ridge)))
        for number in range(_ROUNDS if self._is_cut_off else 1):
            products = np.zeros_like(prior)
            for clip in range(len(seen)):
                targets, inputs = self._pairs(seen[clip])
                if not number:
                    power += inputs.T @ inputs
                if self._is_cut_off:
                    below = np.minimum(inputs @ solution.T, 0.0)
                    targets = np.where(targets > 0.0, targets, below)
                products += targets.T @ inputs
            ridge[: matrix.shape[1]] = _RIDGE * power.diagonal()[: matrix.shape[1]].mean()
            # What never met anything but zeros keeps its weights.
            held = np.diag(np.maximum(ridge, _LEAST_RIDGE))
            solution = np.linalg.solve(power + held, (products + prior @ held).T).T
        self.found = self._tensors(solution)
        return self.found

    def _pairs(self, values: Mapping[str, Array]) -> tuple[Doubles, Doubles]:
        """(positions, output channels), and (positions, inputs) with a one behind for the bias."""
        targets = np.moveaxis(values[_TARGETS], self._part.operator.result_axis, -1)
        inputs = patches(values[_READ], self.geometry).astype(np.float64)
        if self._bias:
            inputs = np.column_stack([inputs, np.ones(len(inputs))])
        return targets.reshape(len(inputs), -1).astype(np.float64), inputs

    def _tensors(self, solution: Doubles) -> list[onnx.TensorProto]:
        part, count = self._part, self.geometry.inputs
        before = part.array()
        assert before is not None
        matrix = solution[:, :count]
        rows = matrix.T if part.axis(before.ndim) else matrix
        found = {part.value: rows.reshape(before.shape)}
        if self._bias:
            shape = part.editor.shape(self._bias)
            found[self._bias] = solution[:, count].reshape(shape) + self._behind
        return [
            numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
            for name, values in found.items()
        ]


def _bias_behind(layer: LayerWeight) -> FloatArray | float:
    """What another node adds to what the layer's own node makes."""
    place = layer.operator.bias_place(layer.editor, layer.node)
    if place is None or layer.own_bias() is not None:
        return 0.0
    bias = layer.editor.array(place[0].input[place[1]])
    return 0.0 if bias is None else cast(FloatArray, bias)

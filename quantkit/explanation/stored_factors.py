"""The factors that were moved between the layers of a file, found again in its numbers.

Equalization, smoothing and balancing leave what a float graph computes as it was, and change its
weights. A weight of such a file can be compared with one that was changed alike. Factors of
normalisations and products are read from the file as they are. Those between two layers are the
ratio of both weights to the float ones: with w the float weight of a channel and q that of the
file, ⟨q, w⟩ / ⟨w, w⟩. Few bits make it smaller by a share that depends on the bits alone, so where
both layers have as many, the geometric mean of what both say is right. A layer between two such
places has factors in its rows and in its columns, so all are found in turn until they settle.
"""

from __future__ import annotations

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights, operator_of
from quantkit.quantization.equalize.channel_scaling import Junction, move
from quantkit.quantization.equalize.conditioning import chosen_junctions
from quantkit.quantization.prepared import AssignedModel
from quantkit.quantization.stored import StoredFile

# Of the logarithm of a factor: what a weight of 8 bits does not show.
_SETTLED = 1e-3
_MOST_ROUNDS = 20


def condition_as_stored(assigned: AssignedModel, stored: StoredFile) -> None:
    """Move factors in the float graph of ``assigned`` as they were moved for the file, in place."""
    fitting = assigned.fitting
    if not (fitting.equalization or fitting.smoothing or fitting.balance):
        return
    editor = GraphEditor(assigned.model)
    chosen = chosen_junctions(
        editor, assigned.layers, assigned.choices, fitting, with_clips=True
    ).all
    for _ in range(_MOST_ROUNDS):
        largest = 0.0
        for junction in chosen:
            factors = _factors(editor, junction, assigned, stored)
            move(editor, junction, factors)
            largest = max(largest, float(np.abs(np.log(factors)).max(initial=0.0)))
        if largest < _SETTLED:
            break
    assigned.conditioned = (f"as in {stored.path.name}",)


def _factors(
    editor: GraphEditor, junction: Junction, assigned: AssignedModel, stored: StoredFile
) -> FloatArray:
    """(channels,): what divides the maker and multiplies the readers."""
    maker = junction.maker
    if operator_of(maker) is None:
        found = _of_constant(editor, junction, stored)
    else:
        sources = [
            (_bits(assigned, maker), _of_maker(editor, junction, stored)),
            *(
                (_bits(assigned, each), _of_reader(editor, each, stored, junction.channels))
                for each in junction.readers
            ),
        ]
        most = max(bits for bits, _ in sources)
        best = [values for bits, values in sources if bits == most and values is not None]
        found = _geometric_mean(best) if best else None
    if found is None or found.shape != (junction.channels,):
        return np.ones(junction.channels, np.float32)
    return np.where(np.isfinite(found) & (found > 0), found, 1).astype(np.float32)


def _bits(assigned: AssignedModel, node: onnx.NodeProto) -> float:
    return assigned.choices[str(node.name)].codec.bits


def _geometric_mean(values: list[FloatArray]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.exp(np.mean([np.log(each) for each in values], axis=0)))


def _of_constant(editor: GraphEditor, junction: Junction, stored: StoredFile) -> FloatArray | None:
    name = junction.divided[0][0]
    before = editor.array(name)
    after = stored.input_of(str(junction.maker.name), list(junction.maker.input).index(name))
    if before is None or after is None or after.size != before.size:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(before.reshape(-1) / after)


def _of_maker(editor: GraphEditor, junction: Junction, stored: StoredFile) -> FloatArray | None:
    name, axis = junction.divided[0]
    weights = _both(editor, junction.maker, stored)
    if weights is None or name not in junction.maker.input:
        return None
    rows = [np.moveaxis(each, axis, 0).reshape(junction.channels, -1) for each in weights]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(1 / _share(*rows))


def _of_reader(
    editor: GraphEditor, node: onnx.NodeProto, stored: StoredFile, channels: int
) -> FloatArray | None:
    weights = _both(editor, node, stored)
    layer = layer_weights(editor)[str(node.name)]
    if weights is None:
        return None
    shape = weights[0].shape
    met = layer.by_input(shape, np.arange(channels, dtype=np.float32))
    assert met is not None, "there are numbers to lay out"
    channel = np.broadcast_to(met, shape).astype(np.int64).reshape(-1)

    def summed(values: FloatArray) -> FloatArray:
        return np.bincount(channel, values.reshape(-1), channels).astype(np.float32)

    own, changed = weights
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(summed(own * changed) / summed(np.square(own)))


def _both(
    editor: GraphEditor, node: onnx.NodeProto, stored: StoredFile
) -> tuple[FloatArray, FloatArray] | None:
    """The float weight of a layer, and that of the file."""
    layer, form = layer_weights(editor).get(str(node.name)), stored.forms.get(str(node.name))
    own = None if layer is None else layer.array()
    if layer is None or form is None or own is None:
        return None
    weight = form.weight_for(layer)
    return None if weight is None else (own, weight)


def _share(before: FloatArray, after: FloatArray) -> FloatArray:
    """Row by row, what the second is of the first."""
    one, other = before.astype(np.float64), after.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((one * other).sum(axis=1) / np.square(one).sum(axis=1))

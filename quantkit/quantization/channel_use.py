"""How often the rows of a vocabulary are read and predicted: the cost of an error in each row.

A token model has an embedding, which looks up a row for each token that it reads, and an output
layer, which computes the logit of each token. Often both share a weight. An error in a row of the
embedding matters when the token is read. An error in a row of the output layer matters in
proportion to the token's probability p: to second order, the divergence of the posteriors is Σᵢ pᵢ
(δᵢ − δ̄)² / 2 for errors δᵢ of the logits. Both are counted on unlabelled audio.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.layers import Layer
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.quantization.tied_weights import Groups
from quantkit.runtime.output_scale import Scale, log_probabilities, posterior_output, scale_of

#: Output channels from which on a layer is taken for a vocabulary. What a layer with fewer could
#: save by tiers is little, and all of its channels are used.
FEWEST_CHANNELS = 4096

_ROWS = 32
# What may lie between the last layer and the posteriors, without changing how much each counts.
_HARMLESS = frozenset({"Add", "LogSoftmax", "Softmax", "Identity", "Cast"})


class RowsRead:
    """Counts the rows that are looked up.

    Args:
        rows: of the embedding.
    """

    def __init__(self, rows: int) -> None:
        self.counts = np.zeros(rows)

    def update(self, values: npt.NDArray[np.generic]) -> None:
        """Take in the indices of one clip; negative ones count from the end."""
        rows = len(self.counts)
        self.counts += np.bincount(values.reshape(-1).astype(np.int64) % rows, minlength=rows)


class LabelsSaid:
    """Adds up the probabilities of all labels.

    Args:
        labels: how many there are.
    """

    def __init__(self, labels: int) -> None:
        self.counts = np.zeros(labels)
        self._scale: Scale | None = None

    def update(self, values: npt.NDArray[np.generic]) -> None:
        """Take in the posteriors of one clip, on any scale, labels last."""
        rows = values.reshape(-1, values.shape[-1])
        # Some at a time: a window of Whisper may have 20 million of them.
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            if self._scale is None:
                self._scale = scale_of(some)
            self.counts += np.exp(log_probabilities(some, self._scale)).sum(axis=0)


@dataclass(frozen=True)
class Use:
    """What tells how often the channels of a layer are used.

    Args:
        value: name of what ``tracker`` follows.
        tracker: of it.
    """

    value: str
    tracker: RowsRead | LabelsSaid

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.tracker.counts)


def channel_use(model: onnx.ModelProto, layers: Sequence[Layer]) -> dict[str, Use]:
    """By name, those of the layers that are a vocabulary: an embedding, or what makes the labels.

    Args:
        model: float, with its nodes named.
    """
    editor = GraphEditor(model)
    weights = layer_weights(editor)
    last = _last_node(editor, model)
    found: dict[str, Use] = {}
    for layer in layers:
        weight = weights[layer.name]
        if weight.editor is not editor:
            # Clips show nothing of what goes on inside a loop.
            continue
        looked_up = weight.operator.is_lookup and len(layer.shape) == 2
        if looked_up and layer.shape[0] >= FEWEST_CHANNELS:
            found[layer.name] = Use(str(weight.node.input[1]), RowsRead(layer.shape[0]))
        elif weight.node is last and _makes_labels(weight, layer):
            labels = weight.channels(layer.shape)
            if labels >= FEWEST_CHANNELS:
                found[layer.name] = Use(posterior_output(model), LabelsSaid(labels))
    return found


def counted(uses: Mapping[str, Use], groups: Groups) -> dict[str, FloatArray]:
    """How often each channel was used, by layer; of layers with one weight, in all of them.

    Args:
        groups: layers that share their weight.

    Returns:
        (channels,) each; a layer of which nothing was seen is left out.
    """
    counts = {name: use.tracker.counts for name, use in uses.items()}
    for group in groups:
        together = [counts[name] for name in group if name in counts]
        if together:
            counts |= dict.fromkeys(group, np.sum(together, axis=0))
    return {name: each.astype(np.float32) for name, each in counts.items() if each.any()}


def _last_node(editor: GraphEditor, model: onnx.ModelProto) -> onnx.NodeProto | None:
    """The one whose results are the posteriors, up to a bias and normalization."""
    try:
        node = editor.producers.get(posterior_output(model))
    except ModelError:
        return None
    while node is not None and node.op_type in _HARMLESS:
        computed = [name for name in node.input if not editor.is_constant(name)]
        if len(computed) != 1 or _rules_out(editor, node):
            return None
        node = editor.producers.get(computed[0])
    return node


def _rules_out(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether labels are impossible behind it: their posteriors are no numbers to count with."""
    constants = (editor.array(name) for name in node.input)
    return any(values is not None and not np.isfinite(values).all() for values in constants)


def _makes_labels(weight: LayerWeight, layer: Layer) -> bool:
    """Whether the output channels are the last dimension of what ``layer`` computes."""
    product = weight.operator.is_product and len(layer.shape) == 2
    return product and not weight.stands_left

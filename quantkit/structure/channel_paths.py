"""Layers whose channels only one other layer reads, and the graph with some of these left out.

From a layer's input the channels are followed back to the one layer that makes them, through nodes
that compute each channel on its own (:mod:`quantkit.graph.operators.passing`). Nothing else may
read them on the way: channels of a residual sum, for one, are needed by all layers behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from quantkit.calibration.calibrate import Feed, Watched, calibrate
from quantkit.conversion.types import inferred_types
from quantkit.errors import FormatError
from quantkit.graph.dead_code import drop_unread_initializers
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import LayerWeight, layer_weights
from quantkit.graph.operators.passing import (
    Channels,
    Dimensions,
    Passing,
    asks_other_sizes,
    passing,
)
from quantkit.structure.low_rank import Covariance
from quantkit.structure.output_moments import ChannelMoments
from quantkit.structure.selection import FewerInputs, Selection

#: Integer kernels compute so many channels at a time.
MULTIPLE = 8
#: Shares of its channels with which a layer is tried.
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75, 0.875)

_FEWEST_CHANNELS = 32
_MOST_CHANNELS = 4096


@dataclass(frozen=True)
class ChannelPath:
    """Where channels go from the layer that makes them to the only one that reads them.

    Args:
        producer, consumer: names of the two layers.
        channels: that the consumer reads.
        blocks: how often the producer makes as many: 2 before a gated linear unit.
        has_zeros: whether zeros of padding or of masks stand beside the values that are read.
        places: constants on the way that have a number for each channel: the node, which of its
            inputs, and where the channels lie in it.
        rules: nodes on the way, each with its rule and where the channels lie in its results.
    """

    producer: str
    consumer: str
    channels: int
    blocks: int
    has_zeros: bool
    places: tuple[tuple[onnx.NodeProto, int, Channels], ...] = field(repr=False)
    rules: tuple[tuple[onnx.NodeProto, Passing, Channels], ...] = field(repr=False)

    @property
    def counts(self) -> tuple[int, ...]:
        """Of channels to keep that are worth trying, from the smallest."""
        found = {self.count(share) for share in SHARES}
        return tuple(sorted(count for count in found if self.saves(count)))

    def count(self, share: float) -> int:
        """``share`` of the channels, rounded to what kernels compute at a time."""
        return max(MULTIPLE, MULTIPLE * round(share * self.channels / MULTIPLE))

    def saves(self, count: int) -> bool:
        """Whether there are more than ``count`` channels."""
        return 0 < count < self.channels


def channel_paths(model: onnx.ModelProto) -> dict[str, ChannelPath]:
    """All of a float graph, by the name of the layer that makes the channels, in its order."""
    return _paths(GraphEditor(model))


def _paths(editor: GraphEditor) -> dict[str, ChannelPath]:
    dimensions = _dimensions(editor)
    weights = layer_weights(editor)
    layers = {id(weight.node): weight for weight in weights.values()}
    found: dict[str, ChannelPath] = {}
    for weight in weights.values():
        path = _Search(editor, dimensions, layers, weight).path()
        if path is not None:
            found[path.producer] = path
    return {name: found[name] for name in weights if name in found}


def _dimensions(editor: GraphEditor) -> Dimensions:
    types = inferred_types(editor.model)

    def of(value: str) -> tuple[int | None, ...] | None:
        if (shape := editor.shape(value)) is not None:
            return shape
        kind = types.get(value)
        if kind is None or not kind.tensor_type.HasField("shape"):
            return None
        dims = kind.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)

    return of


class _Search:
    """From one layer's input back to the layer that makes its channels."""

    def __init__(
        self,
        editor: GraphEditor,
        dimensions: Dimensions,
        layers: Mapping[int, LayerWeight],
        consumer: LayerWeight,
    ) -> None:
        self._editor, self._dimensions, self._layers = editor, dimensions, layers
        self._consumer = consumer
        self._carried: dict[str, Channels] = {}
        self._nodes: dict[int, tuple[onnx.NodeProto, Passing, Channels]] = {}
        self._places: list[tuple[onnx.NodeProto, int, Channels]] = []
        self._producers: dict[str, tuple[LayerWeight, Channels]] = {}
        self._is_masked = False

    def path(self) -> ChannelPath | None:
        """None where the channels come from elsewhere, or go elsewhere, too."""
        weight = self._consumer
        if weight.matrix_shape is None:
            return None
        channels = weight.operator.scalable_inputs(self._editor, weight.node)
        value = str(weight.node.input[0])
        axis = self._from_last(weight.operator.input_axis(self._editor, weight.node), value)
        if channels is None or axis is None:
            return None
        if not _FEWEST_CHANNELS <= channels <= _MOST_CHANNELS:
            return None
        pending = [(value, Channels(axis, channels))]
        while pending:
            value, where = pending.pop()
            if value in self._carried:
                if self._carried[value] != where:
                    return None
                continue
            self._carried[value] = where
            if (sources := self._sources(value, where)) is None:
                return None
            pending += sources
        if len(self._producers) != 1 or not self._is_closed():
            return None
        ((name, (_, made)),) = self._producers.items()
        geometry = weight.geometry()
        pads = geometry is None or geometry.padding is None or np.any(geometry.padding)
        return ChannelPath(
            name,
            weight.name,
            channels,
            made.blocks,
            bool(pads) or self._is_masked,
            tuple(self._places),
            tuple(self._nodes.values()),
        )

    def _sources(self, value: str, where: Channels) -> list[tuple[str, Channels]] | None:
        """What the node that makes ``value`` reads of the channels; None where they cannot pass."""
        node = self._editor.producers.get(value)
        if node is None or value in self._editor.outputs:
            return None
        if (rule := passing(node)) is not None:
            sources = rule.sources(self._editor, node, where, self._dimensions)
            if sources is not None:
                return self._through(node, rule, where, sources)
        if (producer := self._producer(node, value, where)) is not None:
            self._producers[producer.name] = producer, where
            return []
        return None

    def _through(
        self,
        node: onnx.NodeProto,
        rule: Passing,
        where: Channels,
        sources: Mapping[int, Channels],
    ) -> list[tuple[str, Channels]] | None:
        known = self._nodes.setdefault(id(node), (node, rule, where))
        if known[2] != where:
            return None
        onward = []
        for position, name in enumerate(node.input):
            constant = self._editor.is_constant(name) if name else True
            if position not in sources:
                self._is_masked |= not constant
            elif constant:
                self._places.append((node, position, sources[position]))
            else:
                onward.append((str(name), sources[position]))
        return onward if onward else None

    def _producer(self, node: onnx.NodeProto, value: str, where: Channels) -> LayerWeight | None:
        weight = self._layers.get(id(node))
        shape = None if weight is None else weight.matrix_shape
        if weight is None or shape is None or shape[0] != where.size:
            return None
        axis = self._from_last(weight.operator.output_axis(self._editor, node), value)
        return weight if axis == where.axis else None

    def _from_last(self, axis: int, value: str) -> int | None:
        if axis < 0:
            return axis
        sizes = self._dimensions(value)
        return None if sizes is None else axis - len(sizes)

    def _is_closed(self) -> bool:
        """Whether nothing else reads the channels."""
        readers = {id(self._consumer.node), *self._nodes}
        for value in self._carried:
            if value in self._editor.outputs:
                return False
            for user in self._editor.consumers.get(value, []):
                if id(user) not in readers and not asks_other_sizes(
                    self._editor, user, self._carried[value], self._dimensions
                ):
                    return False
        # The layer at the end reads them as what it multiplies only.
        return list(self._consumer.node.input).count(self._consumer.node.input[0]) == 1


def see_channels(
    model: onnx.ModelProto,
    producers: Iterable[str],
    feeds: Iterable[Feed],
    *,
    advance: Callable[[float], None] | None = None,
) -> dict[str, Covariance]:
    """What ``feeds`` show of the channels that layers ``producers`` make, where they are read.

    Where zeros stand beside them, or their reader can take no bias, it is about zero.

    Args:
        advance: see :func:`~quantkit.calibration.calibrate.calibrate`.

    Raises:
        CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
    """
    editor = GraphEditor(model)
    paths, weights = _paths(editor), layer_weights(editor)
    watched: dict[str, Watched] = {}
    followed: dict[str, tuple[ChannelMoments, bool]] = {}
    for name in producers:
        reader = weights[paths[name].consumer]
        moments = ChannelMoments(reader.operator.input_axis(editor, reader.node))
        watched[str(reader.node.input[0])] = Watched(name, (moments,))
        followed[name] = moments, reader.can_take_bias and not paths[name].has_zeros
    calibrate(model, watched, feeds, advance=advance)
    return {name: each.covariance(centred=centred) for name, (each, centred) in followed.items()}


def keep_channels(
    model: onnx.ModelProto, counts: Mapping[str, int], seen: Mapping[str, Covariance] | None
) -> None:
    """Let each layer in ``counts`` make so many channels only, in place.

    The same graph, counts and clips give the same bytes.

    Args:
        seen: of these layers; None: the first channels are kept, for what depends on shapes only.

    Raises:
        FormatError: a layer must make all its channels, or makes no more than these.
    """
    for name, count in counts.items():
        editor = GraphEditor(model)
        path = _paths(editor).get(name)
        if path is None:
            raise FormatError(
                f"layer {name} must make all its channels: they are not read by one layer alone"
            )
        if not path.saves(count):
            raise FormatError(
                f"layer {name} cannot make {count} channels only: it makes {path.channels}"
            )
        _cut(editor, path, count, None if seen is None else seen[name])
    if counts:
        drop_unread_initializers(model.graph)


def _cut(editor: GraphEditor, path: ChannelPath, count: int, seen: Covariance | None) -> None:
    weights = layer_weights(editor)
    producer, consumer = weights[path.producer], weights[path.consumer]
    found = (
        _first(consumer.matrix(), path.channels, count)
        if seen is None
        else Selection(consumer.matrix(), seen).fewer(count)
    )
    for node, position, where in path.places:
        value = editor.array(node.input[position])
        assert value is not None
        fewer = np.take(value, where.indices(found.kept), axis=where.axis)
        editor.set_input(node, position, editor.constant(f"{node.input[position]}.kept", fewer))
    for node, rule, where in path.rules:
        rule.keep(editor, node, where, found.kept)
    made = Channels(-1, path.channels, path.blocks).indices(found.kept)
    less = producer.operator.keep_outputs(editor, producer.node, made)
    editor.replace(producer.node, [less])
    reads = consumer.operator.read_fewer(editor, consumer.node, found.matrix, found.shift)
    editor.replace(consumer.node, [reads])
    editor.finish()


def _first(matrix: np.ndarray, channels: int, count: int) -> FewerInputs:
    taps = matrix.reshape(len(matrix), channels, -1)[:, :count]
    return FewerInputs(
        np.arange(count), taps.reshape(len(matrix), -1), np.zeros(len(matrix), np.float32)
    )

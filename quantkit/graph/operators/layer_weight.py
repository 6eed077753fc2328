"""The weight of one layer, where a node of the graph reads it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Operator, Slot
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.operators.registry import operator_of


@dataclass(frozen=True)
class LayerWeight:
    """One weight of one node.

    Args:
        editor: of the graph that the node stands in.
        node: reads the weight.
        operator: that the node is of.
        slot: which of the node's weights it is.
    """

    editor: GraphEditor
    node: onnx.NodeProto
    operator: Operator
    slot: Slot

    @property
    def name(self) -> str:
        """Name of the layer."""
        return self.slot.layer_name(self.node)

    @property
    def position(self) -> int | None:
        """Which input of the node it is; None when that is not a constant tensor."""
        node = self.node
        places = (p for p in self.slot.positions if p < len(node.input))
        return next((p for p in places if self.editor.is_constant(node.input[p])), None)

    @property
    def value(self) -> str:
        """Name of the weight's value; empty when it is not a constant tensor."""
        position = self.position
        return "" if position is None else str(self.node.input[position])

    @property
    def tensor(self) -> onnx.TensorProto | None:
        """The weight as the graph has it; None when it is not a constant tensor."""
        return self.editor.tensor(self.value)

    def array(self) -> FloatArray | None:
        """The weight as the node reads it; its type may be another."""
        position = self.position
        array = None if position is None else self.editor.array(self.node.input[position])
        return None if array is None else cast(FloatArray, array)

    def rows(self) -> FloatArray:
        """The weight in the layout in which it is stored; see :meth:`Operator.rows`."""
        array = self.array()
        assert array is not None
        return self.operator.rows(array)

    @property
    def stands_left(self) -> bool:
        """Whether it is multiplied by the activation, and not the other way round."""
        return self.operator.stands_left(self.editor, self.node)

    def axis(self, rank: int) -> int:
        """Dimension of the output channels in the rows of a weight of ``rank`` dimensions."""
        return self.operator.channel_axis(self.editor, self.node, rank)

    def channels(self, shape: tuple[int, ...]) -> int:
        """Output channels of a weight of this shape."""
        return self.operator.channels(self.editor, self.node, shape)

    def by_input(self, shape: tuple[int, ...], values: FloatArray | None) -> FloatArray | None:
        """See :meth:`Operator.by_input`."""
        return self.operator.by_input(self.editor, self.node, shape, values)

    @property
    def meets_first_input(self) -> bool:
        """Whether what its channels meet is the node's first input, which clips can show."""
        known = self.operator.is_affine or self.slot.meets_input
        return known and self.editor.parent is None

    @property
    def meets_state(self) -> bool:
        """Whether it is multiplied by what the node itself made in the step before."""
        return not self.operator.is_linear and not self.slot.meets_input

    @property
    def is_plain_product(self) -> bool:
        """Whether it is multiplied once by what its node reads, in the main graph.

        Else what an error of it does shows only when the node, a recurrent one or one with a body,
        is run.
        """
        return self.operator.is_linear and self.editor.parent is None

    @property
    def has_bias(self) -> bool:
        """Whether there is a bias that could take up errors of the weight."""
        return self.operator.bias_place(self.editor, self.node) is not None

    @property
    def matrix_shape(self) -> tuple[int, int] | None:
        """That of :meth:`matrix`; None where the layer cannot be two.

        That is where clips cannot show what it computes, or others read its weight, too.
        """
        if self.editor.parent is not None or len(self.editor.consumers.get(self.value, [])) > 1:
            return None
        shape = self.editor.shape(self.value)
        if shape is None or not self.operator.splits(self.editor, self.node):
            return None
        channels = self.channels(shape)
        return channels, math.prod(shape) // max(1, channels)

    @property
    def taps(self) -> int:
        """How many weights of one that splits meet each input channel, of an output channel."""
        shape = self.matrix_shape
        channels = self.operator.scalable_inputs(self.editor, self.node)
        return 1 if shape is None or not channels else shape[1] // channels

    def matrix(self) -> FloatArray:
        """See :meth:`Operator.matrix`."""
        return self.operator.matrix(self.editor, self.node)

    def own_bias(self) -> FloatArray | None:
        """The constant bias that the node itself adds; None where it adds none."""
        position = self.operator.bias_input
        bias = None if position is None else self.editor.input_array(self.node, position)
        return None if bias is None else cast(FloatArray, bias)

    @property
    def can_take_bias(self) -> bool:
        """Whether there is a bias, or a place for one."""
        return self.has_bias or self.operator.bias_input is not None

    def geometry(self) -> Geometry | None:
        """What it is multiplied by; None where that is not known, or cannot be watched."""
        if self.editor.parent is not None:
            return None
        return self.operator.geometry(self.editor, self.node, self.slot)


def node_weights(editor: GraphEditor, node: onnx.NodeProto) -> tuple[LayerWeight, ...]:
    """The weights of ``node``; none where it is of no operator that layers are made of."""
    operator = operator_of(node)
    if operator is None:
        return ()
    return tuple(LayerWeight(editor, node, operator, slot) for slot in operator.slots)


def unfolds(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """See :meth:`Operator.unfolds`."""
    operator = operator_of(node)
    return operator is not None and operator.unfolds(editor, node)


def layer_weights(editor: GraphEditor) -> dict[str, LayerWeight]:
    """All weights by the names of their layers, those in bodies of control flow included.

    Whether they are constant, and therefore layers, is not checked.
    """
    return {
        weight.name: weight
        for scope, node in editor.everywhere()
        for weight in node_weights(scope, node)
    }

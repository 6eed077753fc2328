"""The interface of operators that layers consist of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor, copy_node
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.plan import Compute


@dataclass(frozen=True)
class Slot:
    """Where an operator keeps one of its weights.

    Args:
        positions: inputs that it may be; the first that is constant is the weight.
        label: what tells a node's weights apart, such as ``W``; empty where there is one only. The
            layer of a weight with a label is called ``NODE.LABEL``.
        has_bias: whether the node's bias counts as this weight's.
        meets_input: whether, of several, it is the one that meets the node's first input.
    """

    positions: tuple[int, ...]
    label: str = ""
    has_bias: bool = True
    meets_input: bool = False

    def layer_name(self, node: onnx.NodeProto) -> str:
        """Name of the layer; a node without a name goes by its first result."""
        name = str(node.name) or next((str(each) for each in node.output if each), "")
        return f"{name}.{self.label}" if self.label else name


@dataclass(frozen=True)
class Halves:
    """A layer's matrix as a product of two, with fewer channels between them.

    Args:
        name: of the first node.
        reduce: (channels between, weights of each): what the first multiplies by.
        expand: (output channels, channels between): what the second multiplies by.
        shift: (output channels,) to be added to the bias.
    """

    name: str
    reduce: FloatArray
    expand: FloatArray
    shift: FloatArray


class Operator(ABC):
    """One type of node with weights; subclasses answer for it.

    The answers here are those of an operator with one weight, which no kernel but the float one
    serves, and about whose numbers nothing is known.

    Register an instance with :func:`~quantkit.graph.operators.register`.
    """

    #: ONNX's name of the operator.
    name: ClassVar[str]
    #: Its weights.
    slots: ClassVar[tuple[Slot, ...]] = (Slot((1,)),)
    #: The input that is the bias; None where the node adds none itself.
    bias_input: ClassVar[int | None] = None
    #: Whether the bias, if there is one, is an ``Add`` behind the node.
    adds_bias_behind: ClassVar[bool] = False
    #: Whether each output channel is a sum over the inputs, weighted with a row of the weight, plus
    #: a bias. Then what an error of the weight does follows from the inputs alone.
    is_affine: ClassVar[bool] = False
    #: Whether it multiplies rows of an activation by a matrix.
    is_product: ClassVar[bool] = False
    #: Whether rows of the weight are looked up, and not multiplied by anything.
    is_lookup: ClassVar[bool] = False
    #: Whether the result is linear in the weight.
    is_linear: ClassVar[bool] = True
    #: Whether kernels read the weight in an order of their own, or not as a whole.
    is_reordered: ClassVar[bool] = True
    #: Whether the weight is stored in few bits also where only the float kernel can serve it.
    stores_small: ClassVar[bool] = False
    #: Whether integer kernels can find a range for each clip of a batch on its own.
    ranges_per_clip: ClassVar[bool] = True
    #: What the preset ``hybrid`` lets it compute in: the integer kernel that was measured to be the
    #: best in speed for what it costs.
    usual_compute: ClassVar[Compute] = "static"
    #: Dimension of the channels in the result.
    result_axis: ClassVar[int] = -1
    #: Names of the kernels that compute it in float32 in ONNX Runtime's optimised graph.
    float_kernels: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a weight of this shape makes the node a layer."""
        return True

    @abstractmethod
    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        """Dimension of the output channels in a weight of ``rank`` dimensions.

        Of a weight that :meth:`rows` reshapes: in the reshaped one.
        """

    def channels(self, editor: GraphEditor, node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
        """Output channels of a weight of this shape."""
        return shape[self.channel_axis(editor, node, len(shape))]

    def rows(self, weight: FloatArray) -> FloatArray:
        """The weight in the layout in which it is stored, a view."""
        return weight

    def input_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        """Dimension of the channels in the activation that the weight meets."""
        return -1

    def output_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        """Dimension of the channels in the result."""
        return self.result_axis

    def stands_left(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        """Whether the weight is multiplied by the activation, and not the other way round."""
        return False

    def by_input(
        self,
        editor: GraphEditor,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        values: FloatArray | None,
    ) -> FloatArray | None:
        """One number per input channel, to broadcast to the weight as :meth:`rows` lays it out.

        Args:
            shape: of the weight as the node reads it.
            values: (channels,); None gives None.
        """
        if values is None:
            return None
        inputs_first = self.channel_axis(editor, node, len(shape)) == len(shape) - 1
        return values.reshape((-1, 1) if inputs_first else (1, -1))

    def scalable_inputs(self, editor: GraphEditor, node: onnx.NodeProto) -> int | None:
        """Input channels that factors of the weight could go into; None where that is impossible.

        They are the dimension ``input_axis`` of the node's first input.
        """
        return None

    def input_rows(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        """(input channels, all else): the weights that meet each input channel.

        Raises:
            ModelError: :meth:`scalable_inputs` says that there are none to scale.
        """
        raise ModelError(f"the inputs of {self.name} cannot be scaled one by one")

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        """What the weight of ``slot`` is multiplied by; None where that is not known."""
        return None

    def bias_size(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        """Numbers of the constant bias that the node itself adds."""
        position = self.bias_input
        bias = None if position is None else editor.input_array(node, position)
        return 0 if bias is None else math.prod(bias.shape)

    def bias_place(
        self, editor: GraphEditor, node: onnx.NodeProto
    ) -> tuple[onnx.NodeProto, int] | None:
        """The node that adds the constant bias of a layer, and which of its inputs that is.

        None where there is none, or none that could take up errors of the weight.
        """
        position = self.bias_input
        if position is None or len(node.input) <= position:
            return None
        return (node, position) if editor.is_constant(node.input[position]) else None

    def without_bias(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """A copy that adds no bias."""
        copy = copy_node(node)
        if self.bias_input is not None:
            del copy.input[self.bias_input :]
        return copy

    def unfolds(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        """Whether the node can be one product of an integer activation and an integer matrix."""
        return False

    def reason_to_stay_float(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool = False
    ) -> str:
        """Why the node must compute in float32 instead of ``compute``; empty: it need not.

        Args:
            emulated: whether the integer grids are computed by the float kernel anyway.
        """
        if compute == "float32":
            return ""
        if compute == "matmul-nbits":
            return self.reason_against_blocks(editor, node)
        return self.reason_against_integers(editor, node, compute, emulated)

    def reason_against_blocks(self, editor: GraphEditor, node: onnx.NodeProto) -> str:
        """Why no kernel reads the weight in blocks of few bits; empty if one does."""
        return f"ONNX Runtime has no kernel for {self.name} with blocks of weights"

    def reason_against_integers(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool
    ) -> str:
        """Why no integer kernel serves the node better than the float one; empty if one does."""
        return f"ONNX Runtime has no integer kernel for {self.name}"

    def reason_to_stay_plain(self, editor: GraphEditor, node: onnx.NodeProto) -> str:
        """Why the node's weights must stay as they are, whatever they hold; empty if not."""
        return ""

    def splits(self, editor: GraphEditor, node: onnx.NodeProto) -> bool:
        """Whether the node is one product by a constant float32 matrix: :meth:`in_two` can be."""
        return False

    def matrix(self, editor: GraphEditor, node: onnx.NodeProto) -> FloatArray:
        """(output channels, weights of each): the weight of a node that splits, as one matrix.

        Raises:
            ModelError: it does not split.
        """
        raise ModelError(f"the weight of {self.name} is no single matrix")

    def in_two(
        self, editor: GraphEditor, node: onnx.NodeProto, halves: Halves
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        """Two nodes in place of ``node``, whose weights have the product of ``halves``.

        The first keeps all that ``node`` has but its weight and its bias, the second its name and
        its result. Their constants are new ones of ``editor``; a bias that stands behind the node
        is changed there.

        Raises:
            ModelError: it does not split.
        """
        raise ModelError(f"{self.name} cannot be split in two")

    def behind_fewer_channels(
        self, editor: GraphEditor, node: onnx.NodeProto, halves: Halves
    ) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        """As :meth:`in_two`, but the first node is one of a single tap, and the second keeps all.

        ``halves.reduce`` is (channels between, input channels), ``halves.expand`` (output channels,
        channels between · taps).

        Raises:
            ModelError: it does not split, or has a single tap itself.
        """
        raise ModelError(f"{self.name} has one tap only")

    def keep_outputs(
        self, editor: GraphEditor, node: onnx.NodeProto, kept: np.ndarray
    ) -> onnx.NodeProto:
        """A node that splits, with some of its output channels only; a bias behind it stays.

        Args:
            kept: (channels,) which of them, in ascending order.

        Raises:
            ModelError: it does not split.
        """
        raise ModelError(f"the channels of {self.name} cannot be left out")

    def read_fewer(
        self, editor: GraphEditor, node: onnx.NodeProto, matrix: FloatArray, shift: FloatArray
    ) -> onnx.NodeProto:
        """A node that splits, for an input with fewer channels; a bias behind it is changed there.

        Args:
            matrix: (output channels, weights of each), as :meth:`matrix` lays them out.
            shift: (output channels,) to be added to the bias; zeros where there is no place for it.

        Raises:
            ModelError: it does not split.
        """
        raise ModelError(f"{self.name} cannot read fewer channels")

    def operations(self, shape: tuple[int, ...]) -> int:
        """Multiplications by a weight of this shape for each position of the result."""
        return math.prod(shape)


def plain_weight_shape(editor: GraphEditor, node: onnx.NodeProto) -> tuple[int, ...] | None:
    """Of a float32 weight at the second input, if the bias, where there is one, is constant."""
    if len(node.input) < 2 or not editor.is_float32(node.input[1]):
        return None
    if len(node.input) > 2 and node.input[2] and not editor.is_constant(node.input[2]):
        return None
    return editor.shape(node.input[1])

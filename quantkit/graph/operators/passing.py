"""Operators that compute each channel of their result from the same channel of what they read.

Channels that are left out before such a node are left out behind it, and the others stay what they
are. A rule finds for one type of node where in its inputs the channels of its result lie.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx

from quantkit.graph.editor import GraphEditor

Dimensions = Callable[[str], tuple[int | None, ...] | None]


@dataclass(frozen=True)
class Channels:
    """Where the channels of a value lie.

    Args:
        axis: counted from the last dimension, -1.
        count: of the channels.
        blocks: how often they lie there, one block behind the other, as before a gated linear unit.
    """

    axis: int
    count: int
    blocks: int = 1

    @property
    def size(self) -> int:
        """Of the dimension."""
        return self.count * self.blocks

    def indices(self, kept: np.ndarray) -> np.ndarray:
        """Positions of the channels ``kept`` along the dimension."""
        starts = self.count * np.arange(self.blocks)
        found: np.ndarray = (starts[:, None] + kept).reshape(-1)
        return found


class Passing(ABC):
    """One kind of node; subclasses answer for it."""

    #: ONNX's names of the operators.
    names: ClassVar[frozenset[str]]

    @abstractmethod
    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        """Inputs that have the channels of the node's results; None where it mixes or hides them.

        Args:
            made: where they lie in the results.
            dimensions: of a value, as far as they are known.
        """

    def keep(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, kept: np.ndarray
    ) -> None:
        """Change in place what else the node says about the number of its channels."""
        return


class Elementwise(Passing):
    """Operands are broadcast against each other."""

    names = frozenset(
        {
            *("Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "FastGelu", "Gelu", "HardSigmoid"),
            *("HardSwish", "Identity", "LeakyRelu", "Log", "Mish", "Neg", "QuickGelu", "Relu"),
            *("Reciprocal", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Tanh"),
            *("Add", "Div", "Max", "Mean", "Min", "Mul", "Pow", "PRelu", "Sub", "Sum", "Where"),
        }
    )

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        found = {}
        for position, name in enumerate(node.input):
            if not name:
                continue
            sizes = dimensions(name)
            if sizes is None:
                return None
            size = sizes[made.axis] if len(sizes) >= -made.axis else 1
            if size == made.size:
                found[position] = made
            elif size != 1:
                return None
        return found


class Transposed(Passing):
    """``Transpose``."""

    names = frozenset({"Transpose"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        order = editor.attributes(node).get("perm")
        if not order:
            return None
        return {0: replace(made, axis=order[made.axis] - len(order))}


class Reshaped(Passing):
    """Dimensions of one element that come or go."""

    names = frozenset({"Unsqueeze", "Squeeze"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        given, axes = dimensions(node.input[0]), editor.input_array(node, 1)
        if given is None or axes is None:
            return None
        adds = node.op_type == "Unsqueeze"
        longer = len(given) + axes.size if adds else len(given)
        single = {int(axis) % longer for axis in axes.reshape(-1)}
        others = [axis - longer for axis in range(longer) if axis not in single]
        if adds:
            # Of the longer shape it is one of the dimensions that were there.
            there = made.axis in others
            return {0: replace(made, axis=others.index(made.axis) - len(others))} if there else None
        return {0: replace(made, axis=others[made.axis])} if len(others) >= -made.axis else None


class Reduced(Passing):
    """A sum or mean over other dimensions."""

    names = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        given, axes = dimensions(node.input[0]), editor.input_array(node, 1)
        if given is None or axes is None:
            return None
        reduced = {int(axis) % len(given) - len(given) for axis in axes.reshape(-1)}
        left = [axis for axis in range(-len(given), 0) if axis not in reduced]
        if editor.attributes(node).get("keepdims", 1):
            return {0: made} if made.axis in left else None
        return {0: replace(made, axis=left[made.axis])} if len(left) >= -made.axis else None


class Halved(Passing):
    """``Split`` into equal parts, as of a gated linear unit: channel i of each belongs together."""

    names = frozenset({"Split"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        given = dimensions(node.input[0])
        if given is None or made.blocks != 1:
            return None
        axis = int(editor.attributes(node).get("axis", 0)) % len(given) - len(given)
        if axis != made.axis:
            return None
        sizes, parts = editor.input_array(node, 1), len(node.output)
        if given[axis] != parts * made.count:
            return None
        if sizes is not None and set(sizes.tolist()) != {made.count}:
            return None
        return {0: replace(made, blocks=parts)}

    def keep(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, kept: np.ndarray
    ) -> None:
        sizes = editor.input_array(node, 1)
        if sizes is not None and set(sizes.tolist()) == {made.count}:
            parts = np.full(len(node.output), len(kept), np.int64)
            editor.set_input(node, 1, editor.constant(f"{node.input[1]}.kept", parts))


class Depthwise(Passing):
    """A convolution with one filter for each channel."""

    names = frozenset({"Conv"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        shape, attributes = editor.shape(node.input[1]), editor.attributes(node)
        if shape is None or made.blocks != 1 or made.axis != 1 - len(shape):
            return None
        if (attributes.get("group", 1), *shape[:2]) != (made.count, made.count, 1):
            return None
        found = {0: made, 1: Channels(-len(shape), made.count)}
        return found | ({2: Channels(-1, made.count)} if len(node.input) > 2 else {})

    def keep(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, kept: np.ndarray
    ) -> None:
        for attribute in node.attribute:
            if attribute.name == "group":
                attribute.i = len(kept)


class Normalized(Passing):
    """Each channel scaled by numbers of its own."""

    names = frozenset({"BatchNormalization", "InstanceNormalization"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        given = dimensions(node.input[0])
        if given is None or made.axis != 1 - len(given):
            return None
        numbers = range(1, len(node.input))
        return {0: made, **{position: replace(made, axis=-1) for position in numbers}}


class Pooled(Passing):
    """Windows over the dimensions behind the channels."""

    names = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})

    def sources(
        self, editor: GraphEditor, node: onnx.NodeProto, made: Channels, dimensions: Dimensions
    ) -> Mapping[int, Channels] | None:
        given = dimensions(node.input[0])
        return {0: made} if given is not None and made.axis == 1 - len(given) else None


_RULES: tuple[Passing, ...] = (
    Elementwise(),
    Transposed(),
    Reshaped(),
    Reduced(),
    Halved(),
    Depthwise(),
    Normalized(),
    Pooled(),
)


def passing(node: onnx.NodeProto) -> Passing | None:
    """The rule for nodes of this type; None where channels do not pass."""
    return next((rule for rule in _RULES if node.op_type in rule.names), None)


def asks_other_sizes(
    editor: GraphEditor, node: onnx.NodeProto, where: Channels, dimensions: Dimensions
) -> bool:
    """Whether ``node`` reads only how long other dimensions of a value are than its channels'.

    Args:
        where: the channels lie in the value.
    """
    given = dimensions(node.input[0])
    if node.op_type != "Shape" or given is None:
        return False
    attributes = editor.attributes(node)
    axis, count = where.axis + len(given), len(given)
    start, end = attributes.get("start", 0), attributes.get("end", count)
    first, behind = (each + count if each < 0 else each for each in (start, end))
    if not first <= axis < behind:
        return True
    users = editor.consumers.get(node.output[0], [])
    return bool(users) and all(_takes_another(editor, user, axis - first) for user in users)


def _takes_another(editor: GraphEditor, node: onnx.NodeProto, index: int) -> bool:
    """Whether ``node`` looks up other entries of a shape than that at ``index``."""
    taken = editor.input_array(node, 1) if node.op_type == "Gather" else None
    return taken is not None and all(0 <= each != index for each in taken.reshape(-1).tolist())


def adds(node: onnx.NodeProto) -> bool:
    """Whether ``node`` is a sum of its operands."""
    return node.op_type in ("Add", "Sum")


def scales(node: onnx.NodeProto) -> bool:
    """Whether ``node`` multiplies or divides its operands."""
    return node.op_type in ("Mul", "Div")

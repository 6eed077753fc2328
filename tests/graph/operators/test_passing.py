"""Where the channels of a result lie in what a node reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.passing import Channels, passing

Sizes = tuple[int | None, ...]


def sources(
    op: str,
    made: Channels,
    shapes: Mapping[str, Sizes],
    constants: Mapping[str, np.ndarray] | None = None,
    outputs: int = 1,
    **attributes: Any,
) -> Mapping[int, Channels] | None:
    """Of a node that reads values of ``shapes`` and then ``constants``."""
    constants = constants or {}
    names = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, [*shapes, *constants], names, "node", **attributes)
    graph = helper.make_graph(
        [node],
        "one node",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    editor = GraphEditor(helper.make_model(graph))
    known = {**shapes, **{name: value.shape for name, value in constants.items()}}
    rule = passing(node)
    assert rule is not None
    return rule.sources(editor, node, made, known.get)


COLUMNS, LAST = Channels(-2, 8), Channels(-1, 8)
CONV = (1, 8, None)
ROWS = (1, None, 8)


def test_operands_of_one_channel_or_fewer_dimensions_have_none() -> None:
    shapes = {"mask": (1, 1, None), "x": CONV, "scalar": ()}
    assert sources("Where", COLUMNS, shapes) == {1: COLUMNS}
    assert sources("Add", LAST, {"x": ROWS}, {"bias": np.zeros(8)}) == {0: LAST, 1: LAST}


def test_operands_of_unknown_or_other_sizes_are_refused() -> None:
    assert sources("Add", COLUMNS, {"x": CONV, "other": (1, None, None)}) is None
    assert sources("Add", COLUMNS, {"x": CONV, "other": (1, 4, None)}) is None


def test_transposed_channels_lie_elsewhere() -> None:
    assert sources("Transpose", LAST, {"x": CONV}, perm=[0, 2, 1]) == {0: COLUMNS}
    assert sources("Transpose", LAST, {"x": CONV}) is None


@pytest.mark.parametrize(
    ("op", "axes", "given", "made", "found"),
    [
        ("Unsqueeze", [2], (1, 8), COLUMNS, LAST),
        ("Unsqueeze", [-1], (1, 8), COLUMNS, LAST),
        ("Unsqueeze", [1], (1, None, 8), LAST, LAST),
        ("Squeeze", [2], (1, 8, 1), LAST, COLUMNS),
        ("Squeeze", [0], (1, None, 8), LAST, LAST),
    ],
)
def test_dimensions_that_come_and_go(op, axes, given, made, found) -> None:
    assert sources(op, made, {"x": given}, {"axes": np.array(axes)}) == {0: found}


def test_a_dimension_that_comes_has_no_channels() -> None:
    assert sources("Unsqueeze", COLUMNS, {"x": (1, 8)}, {"axes": np.array([1])}) is None


@pytest.mark.parametrize(("keepdims", "made"), [(1, COLUMNS), (0, LAST)])
def test_sums_over_time_leave_channels_alone(keepdims: int, made: Channels) -> None:
    axes = {"axes": np.array([2])}
    found = sources("ReduceSum", made, {"x": CONV}, axes, keepdims=keepdims)
    assert found == {0: COLUMNS}


def test_sums_over_channels_do_not() -> None:
    axes = {"axes": np.array([1])}
    assert sources("ReduceSum", COLUMNS, {"x": CONV}, axes, keepdims=1) is None


def test_halves_of_a_gated_unit_are_two_blocks() -> None:
    found = sources("Split", LAST, {"x": (1, None, 16)}, outputs=2, axis=2)
    assert found == {0: Channels(-1, 8, 2)}
    uneven = {"sizes": np.array([8, 12])}
    assert sources("Split", LAST, {"x": (1, None, 20)}, uneven, outputs=2, axis=-1) is None
    assert sources("Split", LAST, {"x": (1, None, 8)}, outputs=2, axis=1) is None


def test_channels_of_two_blocks_are_found_in_both() -> None:
    assert Channels(-1, 8, 2).indices(np.array([1, 3])).tolist() == [1, 3, 9, 11]


def test_a_filter_for_each_channel_is_no_mixture() -> None:
    constants = {"w": np.zeros((8, 1, 5)), "b": np.zeros(8)}
    found = sources("Conv", COLUMNS, {"x": CONV}, constants, group=8)
    assert found == {0: COLUMNS, 1: Channels(-3, 8), 2: Channels(-1, 8)}
    assert sources("Conv", COLUMNS, {"x": CONV}, {"w": np.zeros((8, 2, 5))}, group=4) is None


def test_numbers_of_a_batch_normalisation_have_channels() -> None:
    numbers = {name: np.zeros(8) for name in ("scale", "b", "mean", "variance")}
    found = sources("BatchNormalization", COLUMNS, {"x": CONV}, numbers)
    assert found == {0: COLUMNS, **dict.fromkeys(range(1, 5), LAST)}


def test_windows_pass_channels_and_products_do_not() -> None:
    assert sources("MaxPool", COLUMNS, {"x": CONV}, kernel_shape=[2]) == {0: COLUMNS}
    assert passing(helper.make_node("Softmax", ["x"], ["y"])) is None


def test_a_depthwise_convolution_has_as_many_groups_as_channels_are_left() -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=8)
    rule = passing(node)
    assert rule is not None
    rule.keep(GraphEditor(onnx.ModelProto()), node, COLUMNS, np.arange(6))
    assert node.attribute[0].i == 6

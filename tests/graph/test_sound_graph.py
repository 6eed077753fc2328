"""A model that could mislead what walks it is refused where it is opened, in one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.artifact import open_model, read_info

Change = Callable[[onnx.ModelProto], None]


def plain() -> onnx.ModelProto:
    """A product and a ReLU, a branch that reads a constant from outside, and a model's function."""
    info = helper.make_tensor_value_info
    branch = helper.make_graph(
        [helper.make_node("Add", ["made", "W"], ["sum"], "inner")],
        "branch",
        [],
        [info("sum", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["made"], ["same"], "other")],
        "other",
        [],
        [info("same", TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "W"], ["product"], "product"),
            helper.make_node("Relu", ["product"], ["made"], "relu"),
            helper.make_node("If", ["yes"], ["y"], "if", then_branch=branch, else_branch=other),
        ],
        "g",
        [info("x", TensorProto.FLOAT, ["n", 4])],
        [info("y", TensorProto.FLOAT, ["n", 4])],
        [
            numpy_helper.from_array(np.eye(4, dtype=np.float32), "W"),
            numpy_helper.from_array(np.array(True), "yes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    return model


def giant_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 1 << 40


def negative_opset(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("tools", -1))


def giant_version_of_onnx(model: onnx.ModelProto) -> None:
    model.ir_version = 1 << 40


def circle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "made"


def no_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["x"], [], "silent"))


def no_source(model: onnx.ModelProto) -> None:
    model.graph.node[1].input[0] = "nowhere"


def no_source_inside(model: onnx.ModelProto) -> None:
    model.graph.node[2].attribute[0].g.node[0].input[0] = "nowhere"


def no_source_of_the_output(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nowhere"


def two_sources(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["x"], ["made"], "again"))


def two_constants(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


def short_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def long_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data += bytes(4)


def giant_weight(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.dims[0] = 1 << 40


def negative_size(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [-4, -4]


def unknown_type(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def unknown_type_of_an_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 99


def twice_filled(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1.0)


def giant_sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(
            helper.make_tensor("S", TensorProto.FLOAT, [1], [1.0]),
            helper.make_tensor("S.places", TensorProto.INT64, [1], [0]),
            [1 << 40],
        )
    )


def short_constant_of_a_node(model: onnx.ModelProto) -> None:
    value = helper.make_tensor("value", TensorProto.FLOAT, [2], [1.0, 2.0])
    value.dims[0] = 1 << 40
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], "constant", value=value))


def unknown_attribute(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("slope", 1.0))


def attribute_without_a_type(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(onnx.AttributeProto(name="slope"))


def too_many_inputs(model: onnx.ModelProto) -> None:
    model.graph.node[1].input.append("x")


def odd_order(model: onnx.ModelProto) -> None:
    node = helper.make_node("Transpose", ["W"], ["turned"], "turn", perm=[1, 7])
    model.graph.node.append(node)


def order_of_another_rank(model: onnx.ModelProto) -> None:
    node = helper.make_node("Transpose", ["W"], ["turned"], "turn", perm=[0, 2, 1])
    model.graph.node.append(node)


def giant_padding(model: onnx.ModelProto) -> None:
    node = helper.make_node("Conv", ["x", "W"], ["padded"], "wide", pads=[1 << 31, 199])
    model.graph.node.append(node)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (giant_opset, "'ai.onnx' has no version 1099511627776"),
        (negative_opset, "'tools' has no version -1"),
        (giant_version_of_onnx, "'ONNX' has no version 1099511627776"),
        (circle, "its graph goes round in a circle"),
        (no_output, r"node silent \(Relu\) has no output"),
        (no_source, r"node relu \(Relu\) reads nowhere, which nothing computes"),
        (no_source_inside, r"node other \(Identity\) reads nowhere, which nothing computes"),
        (no_source_of_the_output, "nothing computes its output nowhere"),
        (two_sources, "it has the value made twice"),
        (two_constants, "it has the constant W twice"),
        (short_weight, "tensor W has 60 bytes, and 64 are needed for 4 × 4 of float"),
        (long_weight, "tensor W has 68 bytes, and 64 are needed"),
        (giant_weight, "tensor W has 0 elements, and 4,398,046,511,104 are needed"),
        (negative_size, "tensor W has a negative size: -4 × -4"),
        (unknown_type, "tensor W has elements of an unknown type, 99"),
        (unknown_type_of_an_input, "x has elements of an unknown type, 99"),
        (twice_filled, "tensor W has its elements twice"),
        (giant_sparse, "sparse tensor S would take 4,398,046,511,104 bytes in memory"),
        (short_constant_of_a_node, "tensor value has 2 elements, and 1,099,511,627,776 are needed"),
        (unknown_attribute, r"node relu \(Relu\): Unrecognized attribute: slope"),
        (attribute_without_a_type, r"attribute slope of relu \(Relu\) has no type"),
        (odd_order, r"node turn \(Transpose\) has no order of axes: \[1, 7\]"),
        (order_of_another_rank, r"node turn \(Transpose\) has no order of axes: \[0, 2, 1\]"),
        (giant_padding, r"node wide \(Conv\) pads its input with 2,147,483,648 steps"),
        (too_many_inputs, r"node relu \(Relu\): .* has input size 2 not in range"),
    ],
)
def test_what_is_not_sound_is_refused(change: Change, reason: str, tmp_path: Path) -> None:
    path, model = tmp_path / "m.onnx", plain()
    change(model)
    path.write_bytes(model.SerializeToString())
    for read in (read_info, open_model):
        with pytest.raises(ModelError, match=rf"m\.onnx is damaged: {reason}"):
            read(path)


def test_a_sound_model_is_read(tmp_path: Path) -> None:
    path, model = tmp_path / "m.onnx", plain()
    path.write_bytes(model.SerializeToString())
    assert open_model(path) == model


def test_nodes_that_can_be_put_in_order_are(tmp_path: Path) -> None:
    path, model = tmp_path / "m.onnx", plain()
    nodes = list(model.graph.node)
    shuffled = plain()
    del shuffled.graph.node[:]
    shuffled.graph.node.extend(reversed(nodes))
    path.write_bytes(shuffled.SerializeToString())
    assert [node.name for node in open_model(path).graph.node] == ["product", "relu", "if"]


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(plain().SerializeToString().replace(b"relu", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(ModelError, match="it has a name that is no UTF-8"):
        read_info(path)


def framed(number: int, value: bytes) -> bytes:
    """A field of a message, as protobuf writes those that have a length."""
    head, length = bytearray([number << 3 | 2]), len(value)
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes([*head, length]) + value


def test_graphs_within_graphs_end_somewhere(tmp_path: Path) -> None:
    node = helper.make_node("If", ["yes"], ["y"], "if").SerializeToString()
    body = plain().graph.SerializeToString()
    for _ in range(60):
        # A node with an attribute of type GRAPH (5), whose value is field 6.
        attribute = framed(1, b"then_branch") + framed(6, body) + bytes([0xA0, 1, 5])
        body = framed(1, node + framed(5, attribute))
    head = plain()
    head.ClearField("graph")
    path = tmp_path / "m.onnx"
    path.write_bytes(head.SerializeToString() + framed(7, body))
    with pytest.raises(ModelError, match="is not an ONNX model, or is cut off"):
        read_info(path)

"""Changes to the fields of an ONNX model: the file stays a message, and becomes an odd graph."""

from __future__ import annotations

from random import Random
from typing import Any

import onnx
from onnx import TensorProto, helper

from benchmarks.fuzz.damage import ODD_TEXTS

_SIZES = (0, 1, 2, 3, -1, 40, 255, 2**20, 2**31, 2**40, 2**62)
_OPERATORS = (
    "Relu",
    "Conv",
    "MatMul",
    "Loop",
    "If",
    "Scan",
    "LSTM",
    "Foo",
    "",
    "Reshape",
    "Gather",
)


def changed_model(model: onnx.ModelProto, random: Random) -> onnx.ModelProto:
    """A copy with one or two changes."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(random.choice((1, 1, 2))):
        random.choice(_WAYS)(changed, random)
    return changed


def _text(random: Random) -> str:
    return random.choice(ODD_TEXTS).encode("utf-8", "replace").decode()


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto:
    nodes: list[onnx.NodeProto] = [*model.graph.node]
    return random.choice(nodes) if nodes else onnx.NodeProto()


def _weight(model: onnx.ModelProto, random: Random) -> TensorProto:
    tensors: list[TensorProto] = [*model.graph.initializer]
    return random.choice(tensors) if tensors else TensorProto()


def _values(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in (*node.input, *node.output)] or ["x"]


def _rename_input(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.input:
        name = random.choice((*_values(model), "", "missing", _text(random)))
        node.input[random.randrange(len(node.input))] = name


def _rename_output(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.output:
        name = random.choice((*_values(model), "", _text(random)))
        node.output[random.randrange(len(node.output))] = name


def _cycle(model: onnx.ModelProto, random: Random) -> None:
    first, second = _node(model, random), _node(model, random)
    if first.input and second.output:
        first.input[0] = second.output[0]


def _drop_output(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    del node.output[:]
    if random.random() < 0.5:
        del node.input[:]


def _drop_node(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.node:
        del model.graph.node[random.randrange(len(model.graph.node))]


def _other_operator(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    node.op_type = random.choice(_OPERATORS)
    node.domain = random.choice(("", "", "com.microsoft", "ai.onnx.ml", "x.y", _text(random)))


def _other_name(model: onnx.ModelProto, random: Random) -> None:
    _node(model, random).name = random.choice((_text(random), _node(model, random).name, "layer1"))


def _other_attribute(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node.attribute and random.random() < 0.8:
        attribute = random.choice(node.attribute)
        number = random.choice(_SIZES)
        if attribute.ints:
            attribute.ints[random.randrange(len(attribute.ints))] = number
        elif random.random() < 0.5:
            attribute.i = number
        else:
            attribute.type = random.randrange(14)
    else:
        value: Any = random.choice((1, [1, 2], "x", 0.5, [0.5]))
        node.attribute.append(helper.make_attribute(random.choice(("axis", "perm", "body")), value))


def _other_dims(model: onnx.ModelProto, random: Random) -> None:
    tensor = _weight(model, random)
    if tensor.dims and random.random() < 0.7:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(_SIZES)
    else:
        tensor.dims.append(random.choice(_SIZES))


def _other_type(model: onnx.ModelProto, random: Random) -> None:
    _weight(model, random).data_type = random.choice((*range(24), 99))


def _other_data(model: onnx.ModelProto, random: Random) -> None:
    tensor = _weight(model, random)
    length = len(tensor.raw_data)
    tensor.raw_data = random.choice(
        (
            *(b"", tensor.raw_data[:-1], tensor.raw_data * 2, b"\xff" * length),
            *(bytes(length), b"\x00\x00\xc0\x7f" * (length // 4)),
        )
    )


def _move_out(model: onnx.ModelProto, random: Random) -> None:
    tensor = _weight(model, random)
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    places = ("../secret/secret.txt", "../../secret/secret.txt", "/etc/passwd", "weights.data", "")
    for _ in range(random.choice((1, 1, 2))):
        tensor.external_data.add(
            key="location",
            value=random.choice((*places, "model.onnx", "model.onnx.data", _text(random))),
        )
    for key in ("offset", "length"):
        if random.random() < 0.6:
            tensor.external_data.add(key=key, value=str(random.choice((*_SIZES, "x"))))


def _other_port(model: onnx.ModelProto, random: Random) -> None:
    ports = random.choice((model.graph.input, model.graph.output))
    if not ports:
        return
    port = random.choice(ports)
    way = random.randrange(6)
    if way == 0:
        port.name = random.choice((_text(random), *_values(model)))
    elif way == 1:
        port.type.tensor_type.elem_type = random.choice((*range(24), 99))
    elif way == 2 and port.type.tensor_type.shape.dim:
        random.choice(port.type.tensor_type.shape.dim).dim_value = random.choice(_SIZES)
    elif way == 3:
        port.type.Clear()
    elif way == 4:
        ports.remove(port)
    else:
        ports.add().CopyFrom(port)


def _other_opset(model: onnx.ModelProto, random: Random) -> None:
    if model.opset_import and random.random() < 0.8:
        random.choice(model.opset_import).version = random.choice((0, 1, 7, 10, 12, 25, 99, 2**40))
    elif random.random() < 0.5:
        del model.opset_import[:]
    else:
        model.ir_version = random.choice((0, 1, 3, 99, 2**40))


def _twice(model: onnx.ModelProto, random: Random) -> None:
    if random.random() < 0.5:
        model.graph.node.add().CopyFrom(_node(model, random))
    else:
        model.graph.initializer.add().CopyFrom(_weight(model, random))


def _empty(model: onnx.ModelProto, random: Random) -> None:
    random.choice(
        (
            lambda: model.ClearField("graph"),
            lambda: model.graph.ClearField("node"),
            lambda: model.graph.ClearField("initializer"),
            lambda: model.graph.ClearField("output"),
        )
    )()


_WAYS = (
    *(_rename_input, _rename_output, _cycle, _drop_output, _drop_node, _other_operator),
    *(_other_name, _other_attribute, _other_dims, _other_type, _other_data, _move_out),
    *(_other_port, _other_port, _other_opset, _twice, _empty),
)

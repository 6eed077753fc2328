"""A graph is read without its weights, and says where they lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from quantkit.graph.lazy import NotProtobuf, read_lazily

LARGE = np.arange(1000, dtype=np.float32)
SMALL = np.arange(10, dtype=np.float32)


@pytest.fixture
def model() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "large"], ["y"]), helper.make_node("Neg", ["y"], ["z"])],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1000])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1000])],
        [
            numpy_helper.from_array(SMALL, "small"),
            numpy_helper.from_array(LARGE, "large"),
            helper.make_tensor("numbers", TensorProto.FLOAT, [1000], LARGE.tolist()),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.metadata_props.add(key="name", value="x" * 300)
    return made


def test_all_but_large_raw_elements_is_there(model, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    light = read_lazily(path)
    ((index, (offset, length)),) = light.places.items()
    assert light.model.graph.initializer[index].name == "large"
    assert path.read_bytes()[offset : offset + length] == LARGE.tobytes()
    # With the elements put back, nothing is missing.
    light.model.graph.initializer[index].raw_data = LARGE.tobytes()
    assert light.model == model


def test_messages_that_follow_each_other_are_one(model, tmp_path: Path) -> None:
    more = onnx.ModelProto()
    more.graph.initializer.append(numpy_helper.from_array(LARGE + 1, "more"))
    content = model.SerializeToString() + more.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    light = read_lazily(path)
    found = {light.model.graph.initializer[i].name: place for i, place in light.places.items()}
    offset, length = found["more"]
    assert content[offset : offset + length] == (LARGE + 1).tobytes()
    assert set(found) == {"large", "more"}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_what_is_cut_off_is_refused(share: float, model, tmp_path: Path) -> None:
    content = model.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises((NotProtobuf, DecodeError)):
        read_lazily(path)


@pytest.mark.parametrize("content", [b"", b"RIFF????WAVE", b"\xff" * 40, b"\x0b\x0b"])
def test_what_is_no_message_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises((NotProtobuf, DecodeError)):
        read_lazily(path)

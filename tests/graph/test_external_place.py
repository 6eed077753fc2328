"""External data are read from where they were checked, and from nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from quantkit.errors import ModelError
from quantkit.graph.artifact import load_model, open_files, total_size

WEIGHTS = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)


def model_at(path: Path, *places: list[tuple[str, object]]) -> Path:
    """A product with each weight in turn; where each lies, as entries of its external data."""
    info = helper.make_tensor_value_info
    nodes, value = [], "x"
    for number in range(len(places)):
        node = helper.make_node("MatMul", [value, f"W{number}"], [f"y{number}"], f"layer{number}")
        nodes.append(node)
        value = node.output[0]
    graph = helper.make_graph(
        nodes,
        "g",
        [info("x", TensorProto.FLOAT, ["n", 4])],
        [info(value, TensorProto.FLOAT, ["n", 4])],
    )
    for number, entries in enumerate(places):
        tensor = graph.initializer.add(name=f"W{number}", data_type=TensorProto.FLOAT, dims=[4, 4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, entry in entries:
            tensor.external_data.add(key=key, value=str(entry))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 8
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
    return path


def weights_of(path: Path) -> list[np.ndarray]:
    return [onnx.numpy_helper.to_array(t) for t in load_model(path).graph.initializer]


def test_weights_in_several_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "one").write_bytes(bytes(8) + WEIGHTS.tobytes() + b"rest")
    (tmp_path / "sub" / "two").write_bytes((2 * WEIGHTS).tobytes())
    path = model_at(
        tmp_path / "m.onnx",
        [("location", "one"), ("offset", 8), ("length", 64)],
        [("location", "sub/two")],
    )
    for found, wanted in zip(weights_of(path), (WEIGHTS, 2 * WEIGHTS), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert [file.name for file in open_files(path).files] == ["m.onnx", "one", "two"]
    assert total_size(path) == path.stat().st_size + 76 + 64


def hub_cache(folder: Path) -> Path:
    """As ``huggingface_hub`` lays it: links in a snapshot, and what they lead to among blobs."""
    blobs, snapshot = folder / "blobs", folder / "snapshots" / "0123abcd" / "onnx"
    for name in (blobs, snapshot):
        name.mkdir(parents=True)
    model_at(blobs / "aaaa", [("location", "model.onnx_data")])
    (blobs / "bbbb").write_bytes(WEIGHTS.tobytes())
    (snapshot / "model.onnx").symlink_to("../../../blobs/aaaa")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/bbbb")
    return snapshot / "model.onnx"


def test_links_of_a_hub_s_cache(tmp_path: Path) -> None:
    path = hub_cache(tmp_path)
    np.testing.assert_array_equal(weights_of(path)[0], WEIGHTS)
    assert total_size(path) == path.stat().st_size + 64
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(
        session.run(None, {"x": np.eye(4, dtype=np.float32)})[0], WEIGHTS, rtol=1e-6
    )


def test_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    path = model_at(tmp_path / "inner" / "m.onnx", [("location", "weights")])
    (path.parent / "weights").symlink_to("../secret")
    with pytest.raises(ModelError, match="tensor W0 lies outside its folder: weights"):
        load_model(path)


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    path = model_at(tmp_path / "m.onnx", [("location", "weights")])
    (tmp_path / "weights").symlink_to("weights")
    with pytest.raises(ModelError, match=r"m\.onnx: "):
        load_model(path)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("location", "w"), ("location", "../secret")], "tensor W0 has two entries 'location'"),
        ([("location", "w"), ("offset", 0), ("offset", 64)], "tensor W0 has two entries 'offset'"),
        ([("location", "../secret")], "tensor W0 lies outside its folder: ../secret"),
        ([("location", "sub/../../secret")], "tensor W0 lies outside its folder"),
        ([("location", "/etc/passwd")], "tensor W0 lies outside its folder: /etc/passwd"),
        ([("location", "C:\\weights")], "tensor W0 lies outside its folder"),
        ([("location", "")], "tensor W0 has its data nowhere"),
        ([], "tensor W0 has its data nowhere"),
        ([("location", "w"), ("length", 60)], "tensor W0 has 60 bytes of external data"),
        ([("location", "w"), ("length", 1 << 40)], "tensor W0 has 1099511627776 bytes"),
        ([("location", "w"), ("offset", -64)], "tensor W0 has '-64' for a number"),
        ([("location", "w"), ("offset", "6_4")], "tensor W0 has '6_4' for a number"),
        ([("location", "w"), ("offset", "1e999")], "tensor W0 has '1e999' for a number"),
        ([("location", "w"), ("offset", 64)], "external weights cannot be read: w ends before W0"),
        ([("location", "none")], "its weights file none is missing"),
    ],
)
def test_what_is_not_plain_is_refused(
    entries: list[tuple[str, object]], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(2 * WEIGHTS.tobytes())
    path = model_at(tmp_path / "inner" / "m.onnx", entries)
    (path.parent / "w").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelError, match=reason.replace("..", r"\.\.")):
        load_model(path)


def test_a_pointer_in_place_of_the_weights(tmp_path: Path) -> None:
    path = model_at(tmp_path / "m.onnx", [("location", "w")])
    (tmp_path / "w").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="its weights file w is a Git-LFS pointer"):
        load_model(path)

"""A model of two files is one graph while it is worked on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import ModelError
from quantkit.graph.artifact import (
    load_model,
    model_files,
    open_model,
    read_info,
    save_model,
    total_size,
)
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.joined import (
    add_prefix,
    join,
    repeated_nodes,
    set_roles,
    set_short_form,
    split,
)
from quantkit.graph.roles import GraphRole, beside
from quantkit.graph.single_file import single_file
from quantkit.runtime.session import create_session

FEATURES = np.arange(6, dtype=np.float32).reshape(1, 6)


def whole_model(size: int = 6) -> onnx.ModelProto:
    """``cross.0 = features · own``; ``log_probs = cross.0 · other + shift``, all scaled by one."""
    weights = np.random.default_rng(0).standard_normal((2, size, size)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["features", "own"], ["heard"], "encoder.product"),
        helper.make_node("Mul", ["heard", "scale"], ["cross.0"], "encoder.scaled"),
        helper.make_node("MatMul", ["cross.0", "other"], ["product"], "decoder.product"),
        helper.make_node("Mul", ["product", "scale"], ["scaled"], "decoder.scaled"),
        helper.make_node("Add", ["scaled", "shift"], ["log_probs"], "decoder.shifted"),
    ]

    def value(name: str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size])

    graph = helper.make_graph(
        nodes,
        "whole",
        [value("features"), value("shift")],
        [value("log_probs"), value("cross.0")],
        [
            numpy_helper.from_array(weights[0], "own"),
            numpy_helper.from_array(weights[1], "other"),
            numpy_helper.from_array(np.array([2.0], np.float32), "scale"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    set_short_form(model)
    set_info(model, ArtifactInfo(task="whisper", name="two"))
    return model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_model(whole_model(), tmp_path / "two.onnx")
    return tmp_path / "two.onnx"


def outputs(path: Path) -> np.ndarray:
    shift = np.ones((1, 6), np.float32)
    found: np.ndarray = create_session(path).run(
        ["log_probs"], {"features": FEATURES, "shift": shift}
    )[0]
    return found


def test_each_part_has_what_it_needs() -> None:
    encoder, decoder = split(whole_model())
    assert [node.name for node in encoder.graph.node] == ["encoder.product", "encoder.scaled"]
    assert [value.name for value in encoder.graph.input] == ["features"]
    assert [value.name for value in decoder.graph.input] == ["shift", "cross.0"]
    assert {t.name for t in encoder.graph.initializer} == {"own", "scale"}
    assert {t.name for t in decoder.graph.initializer} == {"other", "scale"}
    assert not decoder.metadata_props


def test_what_is_run_for_each_token_is_the_decoder() -> None:
    model = whole_model()
    names = {node.name for node in model.graph.node if node.name.startswith("decoder.")}
    assert repeated_nodes(model) == names
    del model.metadata_props[:]
    assert repeated_nodes(model) == frozenset()


def test_a_graph_without_a_crossing_cannot_be_cut() -> None:
    model = whole_model()
    del model.graph.output[1]
    with pytest.raises(ModelError, match="cannot be cut"):
        split(model)


def test_both_files_are_one_graph_again(path: Path) -> None:
    assert [file.name for file in model_files(path)] == ["two.onnx", "two.decoder.onnx"]
    joined = load_model(path)
    assert [node.name for node in joined.graph.node] == [n.name for n in whole_model().graph.node]
    assert [value.name for value in joined.graph.output] == ["log_probs", "cross.0"]
    assert read_info(path).name == "two"


def test_the_size_is_that_of_both(path: Path) -> None:
    sizes = [file.stat().st_size for file in (path, beside(path, "decoder"))]
    assert total_size(path) == sum(sizes)


def test_saved_under_another_name_it_finds_its_own_decoder(path: Path, tmp_path: Path) -> None:
    save_model(open_model(path), tmp_path / "copy.onnx")
    path.unlink()
    beside(path, "decoder").unlink()
    assert model_files(tmp_path / "copy.onnx")[1].name == "copy.decoder.onnx"
    load_model(tmp_path / "copy.onnx")


def test_it_runs_as_a_single_file_and_part_by_part(path: Path, tmp_path: Path) -> None:
    with single_file(path) as whole:
        at_once = outputs(whole)
    encoder, decoder = (create_session(file) for file in model_files(path))
    (heard,) = encoder.run(None, {"features": FEATURES})
    feed = {"cross.0": heard, "shift": np.ones((1, 6), np.float32)}
    np.testing.assert_allclose(decoder.run(None, feed)[0], at_once, rtol=1e-5)


def test_weights_beyond_the_limit_lie_beside_each_part(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    save_model(whole_model(64), path, external_threshold=1_000)
    assert {file.name for file in tmp_path.iterdir()} == {
        "large.onnx",
        "large.onnx.data",
        "large.decoder.onnx",
        "large.decoder.onnx.data",
    }
    assert total_size(path) == sum(file.stat().st_size for file in tmp_path.iterdir())
    load_model(path)


@pytest.mark.parametrize("name", ["two.onnx", "two.decoder.onnx"])
def test_a_flipped_byte_in_either_file_is_found(path: Path, name: str) -> None:
    file = path.with_name(name)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ModelError):
        read_info(path)


def test_a_missing_or_distant_decoder_is_named(path: Path) -> None:
    beside(path, "decoder").unlink()
    with pytest.raises(ModelError, match=r"its decoder two\.decoder\.onnx is missing"):
        read_info(path)
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == "quantkit.decoder":
            entry.value = "../elsewhere.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="lies outside its folder"):
        read_info(path)


@pytest.mark.parametrize("name", ["a.onnx", f"{'long' * 30}.onnx", "гласные.onnx"])
def test_what_a_file_is_called_does_not_change_its_size(name: str, path: Path) -> None:
    save_model(whole_model(), path.with_name(name))
    assert total_size(path.with_name(name)) == total_size(path)


def test_names_without_padding_are_read(path: Path) -> None:
    model = onnx.load(path)
    (entry,) = (entry for entry in model.metadata_props if entry.key == "quantkit.decoder")
    assert len(entry.value) == 255
    entry.value = entry.value.rstrip()
    onnx.save(model, path)
    assert [file.name for file in model_files(path)] == ["two.onnx", "two.decoder.onnx"]


def test_parts_of_two_models_do_not_join(path: Path, tmp_path: Path) -> None:
    encoder, _ = split(whole_model())
    encoder.graph.output[0].name = "cross.1"
    encoder.graph.node[1].output[0] = "cross.1"
    encoder.producer_name = ""
    del encoder.metadata_props[:]
    set_short_form(encoder, beside(path, "decoder").name)
    onnx.save(encoder, tmp_path / "other.onnx")
    with pytest.raises(ModelError):
        open_model(tmp_path / "other.onnx", check=False)


def listed(*roles: GraphRole) -> onnx.ModelProto:
    """The whole model with a list of its graphs instead of the shorter form."""
    model = whole_model()
    del model.metadata_props[:]
    set_roles(model, roles)
    set_info(model, ArtifactInfo(name="listed"))
    return model


TWO = (GraphRole("hearer", ("cross.0",)), GraphRole("writer", ("log_probs",), per_token=True))


def test_graphs_may_have_any_roles(tmp_path: Path) -> None:
    save_model(listed(*TWO), tmp_path / "m.onnx")
    assert [file.name for file in model_files(tmp_path / "m.onnx")] == ["m.onnx", "m.writer.onnx"]
    joined = open_model(tmp_path / "m.onnx")
    assert [node.name for node in joined.graph.node] == [n.name for n in whole_model().graph.node]
    assert {name.split(".")[0] for name in repeated_nodes(joined)} == {"decoder"}


def test_each_output_belongs_to_one_graph() -> None:
    with pytest.raises(ModelError, match="cannot be cut into its parts: its outputs are log_probs"):
        split(listed(TWO[0], GraphRole("writer", ("other",))))


def test_what_two_graphs_compute_of_the_same_is_in_both_and_joined_once() -> None:
    model = whole_model()
    # The decoder scales by a value that the encoder computes, too, and hands to nobody.
    model.graph.node.insert(0, helper.make_node("Neg", ["scale"], ["minus"], "shared"))
    for node in model.graph.node[1:]:
        node.input[:] = ["minus" if name == "scale" else name for name in node.input]
    parts = split(model)
    assert all("shared" in [node.name for node in part.graph.node] for part in parts)
    joined = join(parts)
    assert sorted(n.name for n in joined.graph.node) == sorted(n.name for n in model.graph.node)


def test_graphs_that_call_different_values_alike_do_not_join() -> None:
    encoder, decoder = split(whole_model())
    add_prefix(decoder.graph, "own.")
    join([encoder, decoder])
    encoder, decoder = split(whole_model())
    decoder.graph.initializer[0].name = "own"
    for node in decoder.graph.node:
        node.input[:] = ["own" if name == "other" else name for name in node.input]
    with pytest.raises(ModelError, match="call different values own"):
        join([encoder, decoder])


def test_a_file_of_another_model_is_noticed() -> None:
    first, second = split(listed(*TWO))
    second.graph.output[0].name = "logits"
    with pytest.raises(ModelError, match="of different models"):
        join([first, second])


def test_prefix_keeps_bodies_reading_what_they_read() -> None:
    body = helper.make_graph(
        [helper.make_node("Mul", ["x", "twice"], ["doubled"], "double")],
        "then",
        [],
        [helper.make_tensor_value_info("doubled", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["same"], "keep")],
        "else",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    choose = helper.make_node("If", ["on"], ["y"], "if", then_branch=body, else_branch=other)
    graph = helper.make_graph(
        [choose],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
        [numpy_helper.from_array(np.full(1, 2.0, np.float32), "twice")],
    )
    add_prefix(graph, "own.")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    feed = {"x": np.ones(2, np.float32), "on": np.array(True)}
    np.testing.assert_array_equal(session.run(None, feed)[0], [2.0, 2.0])
    inner = next(a.g for a in graph.node[0].attribute if a.name == "then_branch")
    assert inner.node[0].name == "own.double"

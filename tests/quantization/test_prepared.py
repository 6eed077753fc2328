"""A model is opened, checked and optimised once, and every step works on a copy."""

from __future__ import annotations

import gc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.errors import FormatError, ModelError
from quantkit.graph.artifact import OpenedModel, save_model
from quantkit.quantization import prepared as module
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepare import prepare
from quantkit.quantization.prepared import PreparedModel


@pytest.fixture
def opened(monkeypatch) -> Counter[str]:
    """How often files are opened, by name."""
    found: Counter[str] = Counter()
    original = module.open_files

    def open_files(path: Path, **options) -> OpenedModel:
        found[path.name] += 1
        return original(path, **options)

    monkeypatch.setattr(module, "open_files", open_files)
    return found


def test_what_is_prepared_already_stays_what_it_is(source) -> None:
    prepared = PreparedModel(source)
    assert PreparedModel.of(prepared) is prepared
    assert PreparedModel.of(source).sha256 == prepared.sha256


def test_every_step_gets_the_same_graph_from_one_opening(source, clips, opened, tmp_path) -> None:
    prepared = PreparedModel(source)
    first = quantize_model(prepared, tmp_path / "first.onnx", "static-int8", clips)
    # Rewriting used up a copy: the next step finds the graph as it was.
    second = quantize_model(prepared, tmp_path / "second.onnx", "static-int8", clips)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert opened == {source.name: 1}


def test_no_step_changes_what_the_next_one_gets(source) -> None:
    prepared = PreparedModel(source)
    graph, original = prepared.graph(), prepared.copy_original()
    del graph.graph.node[:]
    del original.graph.node[:]
    assert prepared.graph().graph.node
    assert prepared.original.graph.node


def test_a_model_without_choices_is_left_as_its_file_has_it(source) -> None:
    prepared = PreparedModel(source)
    assert prepare(prepared, "float32").model == prepared.original
    assert prepare(prepared, "float32").is_unchanged


def test_a_graph_is_known_by_its_balances(source) -> None:
    prepared = PreparedModel(source)
    with pytest.raises(FormatError, match="third"):
        prepare(prepared, "static-int8", PtqSettings(balance=("third",)))
    plain = prepare(prepared, "static-int8")
    assert plain.graph_sha256() == prepare(prepared, "dynamic-int8").graph_sha256()


@pytest.mark.slow
def test_weights_that_a_pass_makes_anew_leave_memory_and_go_with_the_model(tmp_path) -> None:
    # A transposed weight is folded: the pass stores it anew.
    weight = np.random.default_rng(0).standard_normal((256, 128)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["w"], ["wt"], "turn", perm=[1, 0]),
            helper.make_node("MatMul", ["x", "wt"], ["y"], "product"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", "time", 128])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "time", 256])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    save_model(model, tmp_path / "float32.onnx")
    prepared = PreparedModel(tmp_path / "float32.onnx")
    made = prepared.graph()
    files = [
        Path(entry.value)
        for tensor in made.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location" and Path(entry.value).name != "float32.onnx"
    ]
    assert files
    assert all(len(tensor.raw_data) < weight.nbytes for tensor in made.graph.initializer)
    assert all(file.exists() for file in files)
    del prepared
    gc.collect()
    assert not any(file.exists() for file in files)


def test_a_quantized_model_is_refused(source, clips, tmp_path) -> None:
    quantize_model(source, tmp_path / "int8.onnx", "static-int8", clips)
    with pytest.raises(ModelError, match="quantized already"):
        PreparedModel(tmp_path / "int8.onnx")

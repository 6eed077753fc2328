"""Embeddings stay small in memory, and give the rows that they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.base import Weight
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.plain import Int8
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.storage import stored_layers, tensor_bytes
from quantkit.runtime.optimised import optimised_graph
from quantkit.runtime.session import create_session

ROWS, COLUMNS = 90, 40
TABLE = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
# Rows of very different size: each needs a scale of its own.
TABLE *= np.geomspace(0.01, 10, ROWS, dtype=np.float32)[:, None]
INDICES = np.array([[0, 89, 7], [-1, 45, 45]])

CODECS = [
    *("int8", "int16", "float16", "ternary"),
    *("bitplane:1", "bitplane:5", "native:4", "grouped:4", "codebook:3", "sparse:6,nonzeros=999"),
]


def embedding(axis: int = 0) -> onnx.ModelProto:
    table = TABLE if axis == 0 else TABLE.T
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"], "the embedding", axis=axis),
            helper.make_node("Tanh", ["rows"], ["y"], "activation"),
        ],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(table), "table")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    onnx.save(embedding(), path)
    return path


def settings_of(codec: str, compute: str = "float32") -> QuantizeSettings:
    return QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))


@pytest.mark.parametrize("codec", CODECS)
def test_rows_are_those_of_the_stored_table(codec, source, tmp_path) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", settings_of(codec)).path
    table = CodecChoice.parse(codec).make().encode(Weight(TABLE, 0)).dequantized()
    (found,) = create_session(path).run(None, {"ids": INDICES})
    np.testing.assert_allclose(found, np.tanh(table[INDICES]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("codec", CODECS)
def test_no_float_table_is_built(codec, source, tmp_path) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", settings_of(codec)).path
    graph = optimised_graph(path)
    floats = [t for t in graph.initializer if t.data_type == TensorProto.FLOAT]
    assert all(tensor_bytes(t) <= 4 * ROWS for t in floats)


@pytest.mark.parametrize("codec", CODECS)
def test_size_is_predicted_and_counted(codec, tmp_path) -> None:
    source = tmp_path / "float32.onnx"
    model = embedding()
    # As in a large model, the number that says its size has as many digits before and after.
    model.doc_string = "a large model " * 10_000
    onnx.save(model, source)
    plan = with_sizes(source, settings_of(codec))
    result = quantize_model(source, tmp_path / "q.onnx", plan)
    assert result.size_bytes == plan.predicted_bytes
    model = onnx.load(result.path)
    (row,) = stored_layers(model)
    assert row.name == "the embedding"
    assert row.bytes == result.layers[0].bytes == plan.layers[0].bytes
    tensors = {t.name: tensor_bytes(t) for t in model.graph.initializer}
    assert row.bytes <= sum(tensors.values())
    # Beside the table and its scales, only constants of the decoder's own lie in the file.
    assert row.bytes >= ROWS * COLUMNS * CodecChoice.parse(codec).bits / 8


def test_columns_can_be_looked_up_too(tmp_path) -> None:
    source = tmp_path / "float32.onnx"
    onnx.save(embedding(axis=1), source)
    path = quantize_model(source, tmp_path / "q.onnx", settings_of("int8")).path
    columns = Int8().encode(Weight(TABLE.T, 1)).dequantized()
    (found,) = create_session(path).run(None, {"ids": INDICES})
    assert found.shape == (COLUMNS, 2, 3)
    np.testing.assert_allclose(found, np.tanh(columns[:, INDICES]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", ["int8", "dynamic-int8", "static-int8", "hybrid"])
def test_integer_presets_store_it_in_int8(preset, source, tmp_path) -> None:
    result = quantize_model(source, tmp_path / "q.onnx", preset, [("x", {"ids": INDICES})])
    (row,) = result.layers
    assert (row.compute, row.codec, row.bits) == ("float32", "int8", 8)
    assert "no integer kernel for Gather" in row.note
    (lint,) = result.lint.rows
    assert (lint.name, lint.kernel, lint.status, lint.remark) == (
        "the embedding",
        "Gather",
        "int8",
        "",
    )


def test_layer_is_found_under_its_name_and_its_scales_are_no_layer(source, tmp_path) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", settings_of("bitplane:3")).path
    (layer,) = find_layers(onnx.load(path))
    assert (layer.name, layer.op, layer.shape) == ("the embedding", "Gather", (ROWS, COLUMNS))


def test_float16_rows_too_large_or_small_for_it_are_scaled(tmp_path) -> None:
    model = embedding()
    table = TABLE.copy()
    table[0], table[1] = 1e6 * table[1], 1e-9 * table[2]
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    onnx.save(model, tmp_path / "f.onnx")
    path = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings_of("float16")).path
    graph = onnx.load(path).graph
    del graph.node[-1]
    rows = next(node.output[0] for node in graph.node if node.op_type == "Mul")
    graph.output[0].CopyFrom(helper.make_tensor_value_info(rows, TensorProto.FLOAT, None))
    scaled = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(scaled, tmp_path / "rows.onnx")
    (found,) = create_session(tmp_path / "rows.onnx").run(None, {"ids": np.array([[0, 1, 2]])})
    np.testing.assert_allclose(found[0], table[:3], rtol=2e-3)

"""Products and look-ups by ONNX Runtime's kernels for blocks of weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.base import Weight
from quantkit.codecs.blocks import Blocks
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.layers import find_layers
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.storage import stored_layers, tensor_bytes
from quantkit.runtime.session import create_session

RANDOM = np.random.default_rng(5)
CODECS = [(bits, size) for bits in (2, 4, 8) for size in (16, 32, 64, 128, 256)]


def product(op: str, inputs: int, outputs: int, bias: bool = False) -> onnx.ModelProto:
    shape = (outputs, inputs) if op == "Gemm" else (inputs, outputs)
    constants = {"w": RANDOM.standard_normal(shape).astype(np.float32)}
    names, attributes = ["x", "w"], {"transB": 1} if op == "Gemm" else {}
    if bias:
        constants["b"] = RANDOM.standard_normal(outputs).astype(np.float32)
        names.append("b")
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], "the layer", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    # As in a large model, the number that says its size has as many digits before and after.
    model.doc_string = "a large model " * 20_000
    return model


def settings_of(bits: int, size: int) -> QuantizeSettings:
    codec = CodecChoice("blocks", bits, {"block_size": size})
    return QuantizeSettings(compute="matmul-nbits", codec=codec)


@pytest.mark.parametrize(("bits", "size"), CODECS)
@pytest.mark.parametrize("inputs", [256, 250])
def test_kernel_multiplies_by_what_was_encoded(bits, size, inputs, tmp_path: Path) -> None:
    model = product("MatMul", inputs, 24)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    onnx.save(model, tmp_path / "f.onnx")
    path = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings_of(bits, size)).path
    exact = onnx.load(path)
    for node in exact.graph.node:
        for attribute in node.attribute:
            if attribute.name == "accuracy_level":
                attribute.i = 0
    onnx.save(exact, tmp_path / "exact.onnx")
    identity = np.eye(inputs, dtype=np.float32)
    expected = Blocks(bits, size).encode(Weight(weight.T, 0)).dequantized().T
    (found,) = create_session(tmp_path / "exact.onnx").run(None, {"x": identity})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # As shipped, the kernel rounds activations to int8.
    x = RANDOM.standard_normal((7, inputs)).astype(np.float32)
    (found,) = create_session(path).run(None, {"x": x})
    assert np.abs(found - x @ expected).max() < 0.03 * np.abs(x @ expected).max()


@pytest.mark.parametrize("rows", [1, 9])
def test_general_product_with_bias(rows, tmp_path: Path) -> None:
    onnx.save(product("Gemm", 96, 20, bias=True), tmp_path / "f.onnx")
    result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings_of(8, 32))
    x = RANDOM.standard_normal((rows, 96)).astype(np.float32)
    (expected,) = create_session(tmp_path / "f.onnx").run(None, {"x": x})
    (found,) = create_session(result.path).run(None, {"x": x})
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    (row,) = result.lint.rows
    assert (row.name, row.kernel, row.status) == ("the layer", "MatMulNBits", "int8")
    assert row.folded
    (stored,) = stored_layers(onnx.load(result.path))
    assert stored.bytes == result.layers[0].bytes >= 96 * 20 + 4 * 20 + 4 * 20


@pytest.mark.parametrize(("bits", "size"), CODECS)
def test_size_is_predicted_to_the_byte(bits, size, tmp_path: Path) -> None:
    onnx.save(product("MatMul", 200, 50), tmp_path / "f.onnx")
    plan = with_sizes(tmp_path / "f.onnx", settings_of(bits, size))
    result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", plan)
    assert result.size_bytes == plan.predicted_bytes
    model = onnx.load(result.path)
    assert plan.layers[0].bytes == sum(tensor_bytes(t) for t in model.graph.initializer)


@pytest.mark.parametrize("columns", [64, 50])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rows_of_an_embedding(bits, columns, tmp_path: Path) -> None:
    table = RANDOM.standard_normal((30, columns)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "ids"], ["y"], "the layer")],
        "g",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(table, "table")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "f.onnx")
    result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings_of(bits, 16))
    ids = np.array([[0, 29, 4], [-1, 4, 4]])
    expected = Blocks(bits, 16).encode(Weight(table, 0)).dequantized()[ids]
    (found,) = create_session(result.path).run(None, {"ids": ids})
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    (row,) = result.lint.rows
    assert (row.kernel, row.status, row.folded) == ("GatherBlockQuantized", "int8", True)
    assert [layer.name for layer in find_layers(onnx.load(result.path))] == ["the layer"]


def test_default_is_4_bits_and_convolutions_stay_float(tmp_path: Path, source, clips) -> None:
    settings = QuantizeSettings(compute="matmul-nbits")
    (row, *_) = quantize_model(source, tmp_path / "q.onnx", settings).layers
    assert (row.compute, row.codec) == ("float32", "float32")
    assert "no kernel for Conv with blocks" in row.note
    onnx.save(product("MatMul", 64, 8), tmp_path / "f.onnx")
    (row,) = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings).layers
    assert (row.compute, row.codec, row.bits) == ("matmul-nbits", "blocks", 4)


def test_two_bits_in_blocks_that_the_fast_kernel_lacks_are_named(tmp_path: Path) -> None:
    onnx.save(product("MatMul", 256, 8), tmp_path / "f.onnx")
    for size, status in ((16, "slow kernel"), (64, "int8"), (256, "slow kernel")):
        result = quantize_model(tmp_path / "f.onnx", tmp_path / "q.onnx", settings_of(2, size))
        assert result.lint.rows[0].status == status


@pytest.mark.parametrize(
    ("compute", "codec"),
    [
        ("matmul-nbits", "int8"),
        ("matmul-nbits", "float32"),
        ("dynamic", "blocks:4"),
        ("static", "blocks:8"),
        ("float32", "blocks:2"),
    ],
)
def test_kernel_and_codec_that_do_not_go_together(compute, codec) -> None:
    with pytest.raises(InputError, match=r"cannot read codec|need integer weights"):
        LayerChoice(compute, CodecChoice.parse(codec), range="dynamic per-batch")

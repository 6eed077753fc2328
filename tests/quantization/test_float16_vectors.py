"""Vectors beside quantized weights are stored in half the bytes, where nothing is lost by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.editor import GraphEditor
from quantkit.planning.size import with_sizes
from quantkit.planning.size_model import SizeModel
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.float16_vectors import FEWEST, narrow_vectors, saved, saved_in_norms
from quantkit.quantization.prepare import prepare
from quantkit.runtime.optimised import optimised_graph
from tests.small_graphs import Graph, run, values_of

WIDE, NARROW = 256, 160
RANDOM = np.random.default_rng(4)
X = RANDOM.standard_normal((1, 30, NARROW)).astype(np.float32)
DYNAMIC = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("grouped:4"))


def feed_forward(gain: np.ndarray | None = None) -> onnx.ModelProto:
    """``x → norm → first → ReLU → second``."""
    graph = Graph(seed=5)
    usual = graph.random.uniform(0.5, 1.5, NARROW).astype(np.float32)
    names = [
        graph.constant("norm.gain", usual if gain is None else gain),
        graph.constant("norm.shift", graph.random.uniform(-1, 1, NARROW).astype(np.float32)),
    ]
    graph.add("LayerNormalization", ["x", *names], "norm", axis=-1)
    graph.add("Relu", [graph.linear("norm", "first", NARROW, WIDE)], "active")
    graph.linear("active", "second", WIDE, NARROW)
    return graph.model("second.sum", channels=NARROW)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "float32.onnx"
    onnx.save(feed_forward(), path)
    return path


def types(model: onnx.ModelProto) -> dict[str, int]:
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def quantized(source: Path, settings: QuantizeSettings, **options) -> onnx.ModelProto:
    return onnx.load(quantize_model(source, source.with_name("q.onnx"), settings, **options).path)


def test_scales_biases_and_norms_take_two_bytes_a_number(source: Path) -> None:
    made = quantized(source, DYNAMIC)
    found = types(made)
    halves = {name for name, kind in found.items() if kind == TensorProto.FLOAT16}
    parts = ("weight_scale", "bias")
    of_layers = {f"{layer}.{part}" for layer in ("first", "second") for part in parts}
    assert halves == {"norm.gain", "norm.shift", *of_layers}
    vectors = [name for name, values in values_of(made).items() if values.size > 1]
    assert TensorProto.FLOAT not in {found[name] for name in vectors}


def test_what_comes_out_is_what_float32_vectors_give(source: Path, monkeypatch) -> None:
    narrow = run(quantized(source, DYNAMIC), X)
    monkeypatch.setattr("quantkit.quantization.rewrite.narrow_vectors", lambda model, layers: None)
    wide = run(quantized(source, DYNAMIC), X)
    # An input near the middle of two levels may take the other one.
    far = np.square(wide - run(feed_forward(), X)).mean()
    assert 0 < np.square(narrow - wide).mean() < 0.01 * far


def test_kernels_are_the_same_as_with_float32_vectors(source: Path, tmp_path: Path) -> None:
    path = quantize_model(source, tmp_path / "q.onnx", DYNAMIC).path
    kernels = {node.op_type for node in optimised_graph(path).node}
    assert "DynamicQuantizeMatMul" in kernels
    assert "Cast" not in kernels


def test_packed_or_not_the_results_are_equal(source: Path) -> None:
    packed, plain = (run(quantized(source, DYNAMIC, pack=pack), X) for pack in (True, False))
    np.testing.assert_array_equal(packed, plain)


def test_a_file_is_as_large_as_was_foreseen(source: Path, tmp_path: Path) -> None:
    fitting = PtqSettings(balance=("second",))
    plan = with_sizes(source, DYNAMIC, fitting=fitting)
    made = quantize_model(source, tmp_path / "q.onnx", plan)
    assert made.size_bytes == plan.predicted_bytes
    prepared = prepare(source, DYNAMIC, fitting)
    sizes = SizeModel(source, assigned=prepared)
    assert abs(sizes.total(prepared.choices) - made.size_bytes) < 400
    # Decoders count in names of their own, which ours must not make longer.
    outputs = [name for node in onnx.load(made.path).graph.node for name in node.output]
    assert not any(name.startswith("::") for name in outputs)


def test_layers_that_stay_float_keep_their_bias(source: Path) -> None:
    settings = QuantizeSettings(compute="dynamic", codec=DYNAMIC.codec, exclude=("first",))
    found = types(quantized(source, settings))
    assert found["first.b"] == TensorProto.FLOAT
    assert found["second.bias"] == TensorProto.FLOAT16


def test_nothing_is_narrowed_where_nothing_is_quantized(source: Path) -> None:
    untouched = QuantizeSettings(compute="float32")
    assert TensorProto.FLOAT16 not in types(quantized(source, untouched)).values()


@pytest.mark.parametrize("factor", [1e30, 1e5, 1e-7, 1e-37])
def test_numbers_of_any_magnitude_are_kept(factor: float) -> None:
    gain = (factor * RANDOM.uniform(1, 2, NARROW)).astype(np.float32)
    gain[7], gain[8] = 0, 1e-7 * gain[9]
    model = feed_forward(gain)
    narrow_vectors(model, ())
    norm = onnx.helper.make_tensor_value_info("norm", TensorProto.FLOAT, None)
    for each in (narrowed := model, wide := feed_forward(gain)):
        each.graph.output.insert(0, norm)
        # Only what the gain does is looked at.
        for tensor in each.graph.initializer:
            if tensor.name == "norm.shift":
                nothing = np.zeros(NARROW, onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
                tensor.CopyFrom(onnx.numpy_helper.from_array(nothing, tensor.name))
    assert types(narrowed)["norm.gain"] == TensorProto.FLOAT16
    np.testing.assert_allclose(run(narrowed, X), run(wide, X), rtol=2**-10)


def test_a_label_that_is_ruled_out_stays_so() -> None:
    graph = Graph()
    graph.add("MatMul", ["x", graph.weight("w", NARROW, NARROW)], "product")
    bias = np.linspace(-1, 1, NARROW).astype(np.float32)
    bias[3] = -np.inf
    graph.add("Add", ["product", graph.constant("b", bias)], "y")
    model = graph.model("y", channels=NARROW)
    narrow_vectors(model, ["product"])
    assert types(model)["b"] == TensorProto.FLOAT16
    assert (run(model, X)[..., 3] == -np.inf).all()


@pytest.mark.parametrize("codec", ["int8", "grouped:3", "int16"])
def test_the_size_does_not_depend_on_the_numbers(tmp_path: Path, codec: str) -> None:
    small = feed_forward()
    for tensor in small.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor) * np.float32(1e-5)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(small, source := tmp_path / "float32.onnx")
    compute = "float32" if codec == "int16" else "dynamic"
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    plan = with_sizes(source, settings)
    made = quantize_model(source, tmp_path / "q.onnx", plan)
    assert made.size_bytes == plan.predicted_bytes


def test_scales_of_sixteen_bits_keep_all_of_theirs(source: Path) -> None:
    settings = QuantizeSettings(compute="float32", codec=CodecChoice.parse("int16"))
    found = types(quantized(source, settings))
    assert found["first.weight_scale"] == TensorProto.FLOAT


def test_vectors_that_are_inputs_too_are_constants_and_narrow(tmp_path: Path) -> None:
    # As exporters wrote them until IR version 4.
    model = feed_forward()
    gain = onnx.helper.make_tensor_value_info("norm.gain", TensorProto.FLOAT, [NARROW])
    model.graph.input.append(gain)
    onnx.save(model, tmp_path / "old.onnx")
    made = quantized(tmp_path / "old.onnx", DYNAMIC)
    assert types(made)["norm.gain"] == TensorProto.FLOAT16


def test_grids_of_integer_kernels_stay(source: Path) -> None:
    clips = [("a", {"x": X})]
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse("int8"))
    made = quantized(source, settings, calibration=clips)
    editor = GraphEditor(made)
    grids = {
        str(node.input[1])
        for node in editor.nodes
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }
    rebuilt = {node.output[0] for node in editor.nodes if node.op_type == "Mul"}
    assert not grids & rebuilt
    wide = [name for name in grids if editor.initializers[name].dims == [WIDE]]
    assert wide
    assert {types(made)[name] for name in grids} == {TensorProto.FLOAT}


def test_names_of_others_that_look_like_ours_do_no_harm(source: Path) -> None:
    model = feed_forward()
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = {"norm": ":0001", "active": ":w000"}.get(name, name)
    expected = run(quantized(source, DYNAMIC), X)
    onnx.save(model, source)
    np.testing.assert_array_equal(run(quantized(source, DYNAMIC), X), expected)


def test_a_vector_is_narrowed_where_that_saves_more_than_the_cast_takes() -> None:
    assert saved("encoder.layers.0.fc1.bias", (FEWEST,)) > 0
    assert saved("short", (FEWEST - 1,)) == 0
    model = feed_forward()
    before = model.ByteSize()
    narrow_vectors(model, ())
    assert before - model.ByteSize() == pytest.approx(saved_in_norms(feed_forward()), abs=30)

"""Files of other programs: their integers, scales and grids are read as they lie there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from quantkit.calibration.data import CalibrationData
from quantkit.calibration.ranges import StoredGrid
from quantkit.explanation.pipeline import explain_model
from quantkit.explanation.stored_model import matched
from quantkit.graph.artifact import save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.stored import read_stored
from quantkit.runtime.session import session_options
from tests.recurrent_model import recurrent_recogniser
from tests.sensitivity.graphs import attention
from tests.small_model import masked_convolutions, noise_feeds

pytestmark = pytest.mark.slow

STATIC = {
    "QDQ": {},
    "QDQ of int8": {"activation_type": QuantType.QInt8},
    "QDQ by channel": {"per_channel": True},
    "QLinear": {"quant_format": QuantFormat.QOperator},
    "QLinear by channel": {"quant_format": QuantFormat.QOperator, "per_channel": True},
    "16-bit activations": {
        "activation_type": QuantType.QUInt16,
        "extra_options": {"UseQDQContribOps": False},
    },
}
FEEDS = noise_feeds(60, 201, 133, seed=1)


class Reader(CalibrationDataReader):
    def __init__(self) -> None:
        self.left = [values for _, values in FEEDS]

    def get_next(self):
        return self.left.pop() if self.left else None


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What other programs read: without our checksum."""
    path = tmp_path_factory.mktemp("float") / "plain.onnx"
    onnx.save(masked_convolutions(), path)
    return path


@pytest.fixture(scope="module")
def prepared(source) -> PreparedModel:
    path = source.with_name("float32.onnx")
    save_model(masked_convolutions(), path)
    return PreparedModel(path)


@pytest.fixture(scope="module")
def feeds(prepared) -> CalibrationData:
    return CalibrationData(FEEDS, prepared.info)


def without_metadata(path: Path) -> Path:
    model = onnx.load(path)
    del model.metadata_props[:]
    onnx.save(model, path)
    return path


def static(source: Path, path: Path, **options) -> Path:
    extra = options.pop("extra_options", {})
    opset = onnx.load(source)
    if options.get("activation_type") == QuantType.QUInt16:
        # QuantizeLinear has 16 bits from here on.
        opset = onnx.version_converter.convert_version(opset, 21)
        opset.ir_version = 10
    raised = path.with_name("raised.onnx")
    onnx.save(opset, raised)
    known = {"quant_format": QuantFormat.QDQ, "weight_type": QuantType.QInt8, **options}
    # Bytes alone would take the masks of lengths, too.
    kinds = ["Conv", "MatMul", "Relu"]
    quantize_static(
        raised, path, Reader(), op_types_to_quantize=kinds, extra_options=extra, **known
    )
    return without_metadata(path)


def dequantized(path: Path, weight: str) -> np.ndarray:
    """A weight as the names of ONNX Runtime's quantizer say it."""
    values = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.startswith(weight)
    }
    levels, scale = values[f"{weight}_quantized"], values[f"{weight}_scale"]
    zero = values[f"{weight}_zero_point"].astype(np.int32)
    shape = (-1, *[1] * (levels.ndim - 1)) if scale.size > 1 else ()
    steps = levels.astype(np.int32) - zero.reshape(shape)
    return steps.astype(np.float32) * scale.reshape(shape)


@pytest.mark.parametrize("name", STATIC)
def test_static_files(name, source, prepared, feeds, tmp_path) -> None:
    path = static(source, tmp_path / "q.onnx", **dict(STATIC[name]))
    stored = read_stored(path)
    placed = layer_weights(GraphEditor(prepared.graph()))
    forms = matched(placed, stored.forms)
    assert sorted(forms) == [f"layer{n}.conv" for n in range(1, 7)]
    tensors = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    for number in range(1, 7):
        form = forms[f"layer{number}.conv"]
        np.testing.assert_array_equal(form.weight, dequantized(path, f"w{number}"))
        assert (form.compute, form.bits) == ("static", 8)
        assert form.bias is not None
        np.testing.assert_allclose(form.bias, tensors_of(prepared, f"b{number}"), atol=5e-3)
    value = "layer1.masked" if "layer1.masked_scale" in tensors else "layer1.relu"
    grid = forms["layer2.conv"].input_grid
    assert isinstance(grid, StoredGrid)
    zero = tensors[f"{value}_zero_point"]
    below = -int(np.iinfo(zero.dtype).min)
    assert (grid.scale, grid.zero_point) == (tensors[f"{value}_scale"], int(zero) + below)

    found = explain_model(prepared, path, feeds, weighting="uniform")
    assert len(found.layers) == 6
    assert all(each.from_file for each in found.layers)
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.3, abs=2e-5)


def tensors_of(prepared: PreparedModel, name: str) -> np.ndarray:
    (tensor,) = (t for t in prepared.graph().graph.initializer if t.name == name)
    return numpy_helper.to_array(tensor)


def test_the_damaged_layer_of_such_a_file_is_named(source, prepared, feeds, tmp_path) -> None:
    path = static(source, tmp_path / "q.onnx", per_channel=True)
    model = onnx.load(path)
    (levels,) = (t for t in model.graph.initializer if t.name == "w4_quantized")
    few = np.sign(numpy_helper.to_array(levels)) * np.int8(60)
    levels.CopyFrom(numpy_helper.from_array(few.astype(np.int8), levels.name))
    onnx.save(model, path)
    found = explain_model(prepared, path, feeds, weighting="uniform")
    worst, second = found.worst[:2]
    assert worst.name == "layer4.conv"
    assert worst.restored > 5 * second.restored
    assert worst.weights > 10 * worst.inputs
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.1)
    assert found.remedies[0].layer == "layer4.conv"


@pytest.fixture(scope="module")
def matrices(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreparedModel, CalibrationData]:
    path = tmp_path_factory.mktemp("matrices") / "float32.onnx"
    onnx.save(attention()[0], path)
    prepared = PreparedModel(path)
    clips = [(str(n), attention(frames=n)[1]) for n in (9, 30, 17)]
    return prepared, CalibrationData(clips, prepared.info)


@pytest.mark.parametrize("by_channel", [False, True])
@pytest.mark.parametrize("kind", [QuantType.QInt8, QuantType.QUInt8])
def test_dynamic_files(by_channel, kind, matrices, tmp_path) -> None:
    prepared, clips = matrices
    path = tmp_path / "dynamic.onnx"
    quantize_dynamic(prepared.source, path, per_channel=by_channel, weight_type=kind)
    found = explain_model(prepared, path, clips, weighting="uniform")
    stored = read_stored(path)
    placed = layer_weights(GraphEditor(prepared.graph()))
    forms = matched(
        {each.name: placed[each.name] for each in prepared.layers_of(prepared.graph())},
        stored.forms,
    )
    for name, form in forms.items():
        np.testing.assert_array_equal(
            form.weight, dequantized_columns(path, placed[name].value), name
        )
        assert form.compute == "dynamic"
    assert forms.keys() == {each.name for each in found.layers}
    assert found.simulated is not None
    assert found.simulated.mean == pytest.approx(found.divergence.mean, rel=0.05)


def dequantized_columns(path: Path, weight: str) -> np.ndarray:
    values = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    levels = values[f"{weight}_quantized"].astype(np.int32)
    steps = levels - values[f"{weight}_zero_point"].astype(np.int32)
    return steps.astype(np.float32) * values[f"{weight}_scale"]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero_points", [False, True])
def test_blocks_are_what_the_kernel_multiplies_by(bits, zero_points, tmp_path) -> None:
    """``MatMulNBits`` of the unit matrix is the weight."""
    random = np.random.default_rng(bits)
    inputs, outputs, size = 50, 24, 16
    blocks = -(-inputs // size)
    codes = random.integers(0, 256, (outputs, blocks, size * bits // 8), np.uint8)
    scales = random.uniform(0.5, 1.5, outputs * blocks).astype(np.float32)
    constants = {"codes": codes, "scales": scales}
    if zero_points:
        width = -(-blocks * bits // 8)
        constants["zeros"] = random.integers(0, 256, (outputs, width), np.uint8).reshape(-1)
    node = helper.make_node(
        "MatMulNBits",
        ["x", *constants],
        ["y"],
        "product",
        domain="com.microsoft",
        K=inputs,
        N=outputs,
        bits=bits,
        block_size=size,
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "blocks.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    session = onnxruntime.InferenceSession(
        path, session_options(), providers=["CPUExecutionProvider"]
    )
    (form,) = read_stored(path).forms.values()
    expected = session.run(None, {"x": np.eye(inputs, dtype=np.float32)})[0]
    np.testing.assert_allclose(form.weight, expected, rtol=1e-6, atol=1e-6)
    assert (form.compute, form.bits, form.axis) == ("matmul-nbits", bits, 1)


def test_recurrent_files(tmp_path) -> None:
    source, path = tmp_path / "float32.onnx", tmp_path / "dynamic.onnx"
    model = recurrent_recogniser()
    save_model(model, source)
    plain = tmp_path / "plain.onnx"
    onnx.save(model, plain)
    quantize_dynamic(plain, path, weight_type=QuantType.QInt8, op_types_to_quantize=["LSTM"])
    without_metadata(path)
    prepared = PreparedModel(source)
    placed = layer_weights(GraphEditor(prepared.graph()))
    forms = matched(placed, read_stored(path).forms)
    for name in ("lstm.W", "lstm.R"):
        own = placed[name].array()
        assert forms[name].compute == "dynamic"
        found = forms[name].weight_for(placed[name])
        assert found is not None
        assert 0 < np.abs(found - own).max() <= np.abs(own).max() / 100


def test_a_float_file_without_a_plan_says_that_no_layer_is_quantized(
    source, prepared, feeds
) -> None:
    found = explain_model(prepared, without_metadata(source), feeds, weighting="uniform")
    assert not found.layers
    assert any("no quantized layer" in each for each in found.warnings)

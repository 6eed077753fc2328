"""A Gemm of any form becomes the plain one, and computes the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.operators.plain_gemm import make_gemms_plain
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.session import session_options

ROWS, INPUTS, CHANNELS = 7, 12, 5
RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(0, 1, (ROWS, INPUTS)).astype(np.float32)

#: Shapes of C, with whether they are a bias.
SHAPES = {
    (CHANNELS,): True,
    (1, CHANNELS): True,
    (): True,
    (1,): True,
    (ROWS, 1): False,
    (ROWS, CHANNELS): False,
}


def model(shape: tuple[int, ...] | None, **attributes: float) -> onnx.ModelProto:
    weight = RANDOM.standard_normal((INPUTS, CHANNELS)).astype(np.float32)
    if attributes.get("transB"):
        weight = np.ascontiguousarray(weight.T)
    constants = {"w": weight}
    if shape is not None:
        constants["c"] = np.asarray(RANDOM.standard_normal(shape), np.float32)
    value = helper.make_tensor_value_info
    given = [INPUTS, ROWS] if attributes.get("transA") else [ROWS, INPUTS]
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", *constants], ["y"], "layer", **attributes)],
        "g",
        [value("x", TensorProto.FLOAT, given)],
        [value("y", TensorProto.FLOAT, [ROWS, CHANNELS])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(made: onnx.ModelProto, x: np.ndarray = X) -> np.ndarray:
    session = onnxruntime.InferenceSession(made.SerializeToString(), session_options())
    (result,) = session.run(None, {"x": x})
    return result


@pytest.mark.parametrize("shape", [None, *SHAPES])
@pytest.mark.parametrize("attributes", [{}, {"alpha": 0.5, "beta": 3.0, "transB": 1}])
def test_the_plain_form_computes_the_same(shape, attributes) -> None:
    made = model(shape, **attributes)
    expected = run(made)
    make_gemms_plain(made)
    onnx.checker.check_model(made)
    np.testing.assert_allclose(run(made), expected, rtol=1e-5, atol=1e-5)
    gemm, *added = made.graph.node
    factors = {a.name for a in gemm.attribute} - {"transB"}
    # With no C, beta has no meaning.
    assert factors <= ({"beta"} if shape is None else set())
    assert (gemm.op_type, gemm.name) == ("Gemm", "layer")
    assert [node.op_type for node in added] == ["Add"] * (shape in SHAPES and not SHAPES[shape])
    if shape is not None and SHAPES[shape]:
        constants = {tensor.name: tensor for tensor in made.graph.initializer}
        assert list(constants[gemm.input[2]].dims) == [CHANNELS]


def test_a_plain_one_stays_as_it_is() -> None:
    made = model((CHANNELS,), transB=1)
    before = made.SerializeToString()
    make_gemms_plain(made)
    assert made.SerializeToString() == before


@pytest.mark.parametrize("shape", [None, *SHAPES])
@pytest.mark.parametrize("attributes", [{"alpha": 0.5, "beta": 2.0}, {"transA": 1}])
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_every_form_is_quantized_and_keeps_its_mean(shape, attributes, compute, tmp_path) -> None:
    """What rounding adds on average goes into the bias, where there is one, once."""
    source = tmp_path / "float32.onnx"
    onnx.save(model(shape, **attributes), source)
    x = np.ascontiguousarray(X.T) if "transA" in attributes else X
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse("bitplane:3"))
    result = quantize_model(source, tmp_path / "q.onnx", settings, [("a", {"x": x})])
    found, expected = (run(onnx.load(path), x) for path in (result.path, source))
    error = found - expected
    assert 0 < np.abs(error).max() < 1.5
    if shape is not None and SHAPES[shape]:
        assert np.abs(error.mean(axis=0)).max() < 0.05

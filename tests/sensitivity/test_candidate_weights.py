"""What some channels of a layer tell of the error that a codec makes in all of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.info import ArtifactInfo
from quantkit.quantization import QuantizeSettings
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.encodings import Encodings
from quantkit.quantization.observe import observe
from quantkit.quantization.prepare import prepare
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer

INPUTS, OUTPUTS = 48, 320
FITTING = PtqSettings()


def linear() -> onnx.ModelProto:
    """Logits of a matrix product whose bias, added behind it, can take up the mean of errors."""
    random = np.random.default_rng(0)
    constants = {
        "w": random.standard_normal((INPUTS, OUTPUTS)).astype(np.float32),
        "b": random.standard_normal(OUTPUTS).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], "linear"),
            helper.make_node("Add", ["product", "b"], ["logits"], "bias"),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, "time", INPUTS])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "time", OUTPUTS])],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def inputs() -> np.ndarray:
    """(frames, inputs), correlated and far from zero on average, as behind a rectifier."""
    random = np.random.default_rng(1)
    causes = random.standard_normal((600, 6)) @ random.standard_normal((6, INPUTS))
    return (3 + causes + 0.3 * random.standard_normal(causes.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> tuple[CandidateWeights, FloatLayer]:
    source = tmp_path_factory.mktemp("linear") / "float32.onnx"
    onnx.save(linear(), source)
    codec = CodecChoice.parse("bitplane:4")
    prepared = prepare(source, QuantizeSettings(compute="dynamic", codec=codec))
    feeds = CalibrationData([("clip", {"x": inputs()[None]})], ArtifactInfo())
    seen = observe(prepared.model, prepared.layers, prepared.choices, feeds, FITTING)
    encodings = Encodings()
    weights = CandidateWeights(prepared.model, prepared.layers, seen, FITTING, encodings)
    found = weights.layer("linear")
    assert found is not None
    return weights, found


def noise(layer: FloatLayer, weight: np.ndarray) -> float:
    """Mean square of the error of an output, once the bias has taken up its mean."""
    error = inputs().astype(np.float64) @ (weight - layer.values)
    shift = layer.shift(weight)
    assert shift is not None
    return float(np.square(error - shift).mean())


@pytest.mark.parametrize("codec", ["bitplane:4", "bitplane:6", "grouped:4", "grouped:6", "int8"])
def test_some_channels_tell_the_noise_of_all(layer, codec: str) -> None:
    weights, whole = layer
    part = whole.sampled(64)
    assert part.values.shape == (INPUTS, 64)
    choice = CodecChoice.parse(codec)
    of_all = noise(whole, weights.stored_by(whole, choice, None))
    of_part = noise(part, weights.stored_by(part, choice, None))
    # Rounded once and not several times: the more, the fewer the inputs. A codec of one bit more
    # makes a quarter of the noise.
    assert 0.9 * of_all < of_part < 1.7 * of_all


def test_some_channels_are_rounded_by_the_moments_of_all(layer, monkeypatch) -> None:
    weights, whole = layer
    factorized = []
    original = type(weights._encodings).moments

    def moments(self, choice):
        found = original(self, choice)
        factorized.append(id(found))
        return found

    monkeypatch.setattr(Encodings, "moments", moments)
    codec = CodecChoice.parse("bitplane:5")
    weights.stored_by(whole, codec, None)
    weights.stored_by(whole.sampled(64), codec, None)
    assert len(factorized) == 2
    assert len(set(factorized)) == 1

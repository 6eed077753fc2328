"""Packed weights: what the kernel computes does not depend on how its weight is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import load_model, save_model
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.runtime.optimised import optimised_graph
from quantkit.runtime.session import create_session
from tests.quantization.test_layer_forms import CASES, single_layer

pytestmark = pytest.mark.slow

CODECS = [
    *(f"bitplane:{bits}" for bits in range(1, 8)),
    "native:2",
    "native:4",
    *(f"codebook:{bits}" for bits in (1, 2, 3, 4, 5)),
    "codebook:3,scope=channel",
    "grouped:2",
    *(pytest.param(f"grouped:{bits}", marks=pytest.mark.slow) for bits in (1, 3, 4)),
    "ternary",
    "powers:3",
    "binary,group_size=16",
    "rice:2.6",
    "sparse:4,keep=20",
]
COMPUTES = ["static", "dynamic", "float32"]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("compute", COMPUTES)
def test_output_equals_that_of_plain_integers_bit_for_bit(
    codec, compute, source, clips, run, tmp_path: Path
) -> None:
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    packed = quantize_model(source, tmp_path / "packed.onnx", settings, clips)
    plain = quantize_model(source, tmp_path / "plain.onnx", settings, clips, pack=False)
    for one, other in zip(run(packed.path, clips), run(plain.path, clips), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("codec", ["bitplane:3", "codebook:4", "grouped:4", "ternary", "rice:3"])
def test_decoders_in_rounds_change_neither_outputs_nor_kernels(
    codec, source, clips, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("quantkit.codecs.rounds._FEWEST_WEIGHTS", 0)
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
    packed = quantize_model(source, tmp_path / "packed.onnx", settings, clips)
    plain = quantize_model(source, tmp_path / "plain.onnx", settings, clips, pack=False)
    assert "Abs" in {node.op_type for node in load_model(packed.path).graph.node}
    for one, other in zip(run(packed.path, clips), run(plain.path, clips), strict=True):
        np.testing.assert_array_equal(one, other)
    assert operators(optimised_graph(packed.path)) == operators(optimised_graph(plain.path))


@pytest.mark.parametrize("codec", CODECS)
def test_decoders_are_folded_while_the_session_loads(codec, source, clips, tmp_path) -> None:
    settings = QuantizeSettings(compute="static", codec=CodecChoice.parse(codec))
    packed = quantize_model(source, tmp_path / "packed.onnx", settings, clips)
    kernels = [row.kernel for row in packed.lint.rows]
    assert kernels == ["QLinearConv"] * 5 + ["MatMulInteger"]
    plain = quantize_model(source, tmp_path / "plain.onnx", settings, clips, pack=False)
    assert operators(optimised_graph(packed.path)) == operators(optimised_graph(plain.path))


def operators(graph: onnx.GraphProto) -> list[str]:
    return sorted(node.op_type for node in graph.node)


def test_old_runtimes_can_load_bitplanes_and_new_types_raise_the_operator_set(
    source, clips, tmp_path
) -> None:
    for codec, opset, ir_version in (("bitplane:3", 18, 8), ("native:4", 21, 10)):
        settings = QuantizeSettings(codec=CodecChoice.parse(codec))
        model = load_model(quantize_model(source, tmp_path / "q.onnx", settings, clips).path)
        assert (model.opset_import[0].version, model.ir_version) == (opset, ir_version)


def test_target_runtime_decides_between_native_tensors_and_bitplanes(
    source, clips, tmp_path
) -> None:
    native = CodecChoice.parse("native:4")
    for version, codec in (("1.17", "bitplane"), ("1.23", "native")):
        settings = QuantizeSettings(codec=native, target_runtime=version)
        result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
        assert {row.codec for row in result.layers} == {codec}
        assert result.plan.target_runtime == version


def test_model_that_the_target_cannot_load_is_refused(source, clips, tmp_path) -> None:
    model = load_model(source)
    model.opset_import[0].version = 20
    save_model(model, tmp_path / "20.onnx")
    settings = QuantizeSettings(target_runtime="1.16")
    with pytest.raises(ModelError, match=r"needs ONNX Runtime 1\.17 or later, not 1\.16"):
        quantize_model(tmp_path / "20.onnx", tmp_path / "q.onnx", settings, clips)


def test_weights_are_fitted_to_what_they_meet(source, clips, run, tmp_path) -> None:
    """With audio, the error goes to where inputs are small."""
    settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("bitplane:2"))
    (reference,) = run(source, clips[:1])
    errors = []
    for heard in (None, clips):
        path = quantize_model(source, tmp_path / "q.onnx", settings, heard).path
        errors.append(np.square(run(path, clips[:1])[0] - reference).mean())
    assert errors[1] < errors[0]


@pytest.mark.parametrize("compute", ["static", "dynamic"])
def test_activations_of_fewer_bits_lie_on_so_few_levels(
    compute, source, clips, run, tmp_path
) -> None:
    (reference,) = run(source, clips[:1])
    errors = []
    for bits in (8, 6, 4, 2):
        settings = QuantizeSettings(compute=compute, activation_bits=bits)
        result = quantize_model(source, tmp_path / "q.onnx", settings, clips)
        assert result.lint.integer_layers == 6
        assert {row.activation_bits for row in result.layers} == {bits}
        errors.append(np.abs(run(result.path, clips[:1])[0] - reference).mean())
    assert errors == sorted(errors)
    assert errors[-1] > 4 * errors[0]


@pytest.mark.parametrize("rule", ["*=int8@static/16", "*=int16@static"])
def test_sixteen_bits_are_closer_than_eight(rule, source, clips, run, tmp_path) -> None:
    (reference,) = run(source, clips[:1])
    eight = quantize_model(source, tmp_path / "8.onnx", "static-int8", clips)
    settings = QuantizeSettings(rules=(LayerRule.parse(rule),))
    sixteen = quantize_model(source, tmp_path / "16.onnx", settings, clips)
    error_of_eight = np.abs(run(eight.path, clips[:1])[0] - reference).mean()
    assert np.abs(run(sixteen.path, clips[:1])[0] - reference).mean() < 0.9 * error_of_eight


def test_both_at_sixteen_bits_are_float_for_all_that_counts(source, clips, run, tmp_path) -> None:
    settings = QuantizeSettings(rules=(LayerRule.parse("*=int16@static/16"),))
    result = quantize_model(source, tmp_path / "16.onnx", settings, clips)
    for one, other in zip(run(result.path, clips), run(source, clips), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("1=float16@static", "static layers need integer weights, not float16"),
        ("1=int8@dynamic/16", "16-bit activations and weights need compute static"),
        ("1=int8@static/9", "activations have 1 to 8 or 16 bits, not 9"),
        ("1=bitplane:9", "no mid-tread grid of 9 bits"),
        ("1=codebook", "say how many bits"),
        ("1=huffman:3", "unknown codec 'huffman'"),
        ("1=bitplane:3,size=4", "has no option .size."),
        ("1", "is not PATTERN=CODEC@COMPUTE/ACTIVATION_BITS"),
        ("1=@fast", "unknown compute 'fast'"),
        ("layer99=int8", "matches no layer"),
    ],
)
def test_choice_that_cannot_be_is_named(rule, message, source, clips, tmp_path) -> None:
    def quantize() -> None:
        settings = QuantizeSettings(rules=(LayerRule.parse(rule),))
        quantize_model(source, tmp_path / "q.onnx", settings, clips)

    with pytest.raises(InputError, match=message):
        quantize()
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-38])
def test_bias_of_a_channel_that_died_in_training_stays(
    size, model, source, clips, run, tmp_path
) -> None:
    """Its int32 form is in steps of the channel's own scale, which is next to nothing."""

    def with_bias(name: str, bias: float) -> Path:
        for tensor in model.graph.initializer:
            value = numpy_helper.to_array(tensor).copy()
            if tensor.name == "w2":
                value[3] = np.float32(size)
            if tensor.name == "b2":
                value[3] = bias
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        save_model(model, tmp_path / name)
        return tmp_path / name

    (without,) = run(with_bias("without.onnx", 0.0), clips[:1])
    dead = with_bias("dead.onnx", 4.0)
    (reference,) = run(dead, clips[:1])
    path = quantize_model(dead, tmp_path / "q.onnx", "static-int8", clips).path
    error = np.abs(run(path, clips[:1])[0] - reference).mean()
    assert error < 0.2 * np.abs(without - reference).mean()


@pytest.mark.parametrize("compute", COMPUTES)
def test_bias_takes_up_what_the_error_of_the_weights_adds_on_average(
    compute, source, clips, run, tmp_path
) -> None:
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse("bitplane:2"))
    reference = np.concatenate(run(source, clips))
    errors = []
    for correct in (False, True):
        path = tmp_path / "q.onnx"
        quantize_model(source, path, settings, clips, fitting=PtqSettings(bias_correction=correct))
        errors.append(np.square(np.concatenate(run(path, clips)) - reference).mean())
    assert errors[1] < errors[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("codec", ["bitplane:3", "grouped:3", "codebook:2", "sparse:4,keep=30"])
@pytest.mark.parametrize("compute", COMPUTES)
def test_every_kind_of_layer_computes_the_same_packed_and_plain(
    compute, codec, case, tmp_path
) -> None:
    """Grouped, strided, two-dimensional and pointwise convolutions, MatMul and Gemm."""
    op, shape, weight, bias, attributes = CASES[case]
    source = tmp_path / "float32.onnx"
    onnx.save(single_layer(op, shape, weight, bias, **attributes), source)
    x = np.random.default_rng(8).standard_normal(shape).astype(np.float32)
    settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
    outputs = []
    for pack in (True, False):
        path = tmp_path / f"{pack}.onnx"
        result = quantize_model(source, path, settings, [("x", {"x": x})], pack=pack)
        assert result.lint.folded
        assert not result.lint.problems
        outputs.append(create_session(path).run(None, {"x": x})[0])
    np.testing.assert_array_equal(*outputs)
    assert not np.array_equal(outputs[0], create_session(source).run(None, {"x": x})[0])

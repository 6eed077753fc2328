"""On which processors a file's integer sums are exact: from its kernels and weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime.quantization
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.host_kernels import kernels, write_kernels
from quantkit.errors import FormatError, ModelError
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.runtime.hosts import Hosts, hosts_of
from quantkit.runtime.session import create_session
from tests.emulator import run_without_vnni

EVERYWHERE, NOT_ON_AVX2 = ("any", "avx2", "vnni", "arm"), ("vnni", "arm")
# Of the kernels in benchmarks/host_kernels.py, those that were seen to overflow.
OVERFLOWING = {
    "DynamicQuantizeLSTM",
    "DynamicQuantizeMatMul",
    "MatMulInteger",
    "QGemm",
    "QLinearConv",
    "QLinearConv in groups",
    "QLinearMatMul",
}
ALL_KERNELS = [name for name, _, _ in kernels(127)]


def judged(folder: Path, name: str, largest: int) -> Hosts:
    write_kernels(folder, largest)
    return hosts_of(folder / f"{name}.onnx")


@pytest.mark.parametrize("name", ALL_KERNELS)
def test_kernels_that_overflow_are_known(name: str, tmp_path: Path) -> None:
    assert judged(tmp_path, name, 127).exact_on == (
        NOT_ON_AVX2 if name in OVERFLOWING else EVERYWHERE
    )


@pytest.mark.parametrize(("largest", "exact"), [(64, EVERYWHERE), (65, NOT_ON_AVX2)])
def test_64_is_the_largest_level_that_is_safe(largest, exact, tmp_path: Path) -> None:
    assert judged(tmp_path, "QLinearMatMul", largest).exact_on == exact


@pytest.mark.slow
def test_the_emulator_agrees(tmp_path: Path) -> None:
    """What is said to overflow does, nothing else does, and within ±64 nothing at all."""
    for largest, expected in ((127, OVERFLOWING), (64, set[str]())):
        models = tmp_path / str(largest)
        models.mkdir()
        inputs = write_kernels(models, largest)
        emulated = run_without_vnni(models, inputs)
        wrong = set()
        for name in ALL_KERNELS:
            (exact,) = create_session(models / f"{name}.onnx").run(
                ["y"], {"x": inputs[f"{name}:0/x"]}
            )
            if not np.allclose(exact, emulated[f"{name}/0"], rtol=1e-4, atol=1e-4):
                wrong.add(name)
        assert wrong == expected


@pytest.mark.slow
def test_a_product_of_the_largest_numbers_is_right_where_the_target_says_so(tmp_path: Path) -> None:
    """255 · 127 over 64 inputs, through the whole of quantizing."""
    onnx.save(_product(np.ones((64, 8), np.float32)), tmp_path / "float32.onnx")
    value = np.ones((1, 64), np.float32)
    # One activation of another size, so that a dynamic range has two ends.
    value[0, 0] = 0
    for target in ("any", "vnni"):
        folder = tmp_path / target
        folder.mkdir()
        quantize_model(
            tmp_path / "float32.onnx",
            folder / "q.onnx",
            QuantizeSettings(compute="dynamic"),
            fitting=PtqSettings(target_cpu=target),
        )
        (result,) = run_without_vnni(folder, {"0/x": value}).values()
        assert hosts_of(folder / "q.onnx").exact_on == (
            EVERYWHERE if target == "any" else NOT_ON_AVX2
        )
        assert np.allclose(result, 63, rtol=0.02) == (target == "any")


def test_a_float_model_is_right_everywhere(tmp_path: Path) -> None:
    onnx.save(_product(np.ones((64, 8), np.float32)), tmp_path / "f.onnx")
    hosts = hosts_of(tmp_path / "f.onnx")
    assert (hosts.layers, hosts.exact_on) == ((), EVERYWHERE)
    assert "nothing is computed on integers" in hosts.summary()


@pytest.mark.parametrize(("reduced", "exact"), [(False, NOT_ON_AVX2), (True, EVERYWHERE)])
def test_files_that_others_quantized_are_judged(reduced, exact, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    onnx.save(_product(weight), tmp_path / "f.onnx")
    onnxruntime.quantization.quantize_dynamic(
        tmp_path / "f.onnx",
        tmp_path / "q.onnx",
        weight_type=onnxruntime.quantization.QuantType.QInt8,
        reduce_range=reduced,
    )
    assert hosts_of(tmp_path / "q.onnx").exact_on == exact


def test_int8_that_a_run_computes_may_be_anything(tmp_path: Path) -> None:
    """Such as the keys of attention; uint8 is exact."""
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
            helper.make_node("QuantizeLinear", ["k", "s", "signed"], ["r"]),
            helper.make_node("MatMulInteger", ["q", "r", "z", "signed"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [8, 8]) for n in ("x", "k")],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [8, 8])],
        [
            numpy_helper.from_array(np.float32(0.01), "s"),
            numpy_helper.from_array(np.uint8(0), "z"),
            numpy_helper.from_array(np.int8(0), "signed"),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
    (layer,) = hosts_of(tmp_path / "m.onnx").layers
    assert layer.largest_level == 128


def test_what_is_written_is_read(tmp_path: Path) -> None:
    hosts = judged(tmp_path, "QGemm", 100)
    assert Hosts.from_json(hosts.to_json(), "it") == hosts
    assert "1 of 1 integer layers, whose weights go up to 100" in hosts.summary()
    with pytest.raises(FormatError, match="it: layers is missing"):
        Hosts.from_json({}, "it")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError):
        hosts_of(tmp_path / "m.onnx")


def _product(weight: np.ndarray) -> onnx.ModelProto:
    inputs, outputs = weight.shape
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)

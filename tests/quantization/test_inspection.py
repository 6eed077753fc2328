"""Bytes as they lie in the file."""

from __future__ import annotations

import onnx
import pytest

from quantkit.errors import ModelError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import info_of, set_info
from quantkit.quantization import quantize_model
from quantkit.quantization.inspection import inspect_model
from quantkit.quantization.storage import tensor_bytes


def test_float_model(source) -> None:
    inspection = inspect_model(source)
    assert [layer.name for layer in inspection.layers] == [f"layer{i}.conv" for i in range(1, 7)]
    first = inspection.layers[0]
    assert (first.op, first.shape, first.codec, first.bits, first.compute) == (
        "Conv",
        (24, 40, 8),
        "float32",
        32,
        "float32",
    )
    assert first.bytes == 4 * (24 * 40 * 8 + 24)
    assert inspection.layer_bytes + inspection.other_bytes == source.stat().st_size
    assert first.kernel == first.status == ""


@pytest.mark.slow
def test_bytes_of_a_quantized_model_add_up_to_its_weights(source, tmp_path, clips) -> None:
    for name in ("int8", "dynamic-int8", "static-int8"):
        path = quantize_model(source, tmp_path / f"{name}.onnx", name, clips).path
        inspection = inspect_model(path, runtime=True)
        stored = sum(tensor_bytes(t) for t in onnx.load(path).graph.initializer)
        # What belongs to no layer are the few numbers of masks, lengths and tap positions.
        assert 0 <= stored - inspection.layer_bytes < 600
        assert inspection.method == name
        first = inspection.layers[0]
        # As in the float model, although the file now holds a matrix.
        assert (first.op, first.shape, first.codec, first.bits) == ("Conv", (24, 40, 8), "int8", 8)
        assert {layer.status for layer in inspection.layers} == {"int8"}


def test_json_has_every_field(source) -> None:
    content = inspect_model(source).to_json()
    assert content["size_bytes"] == source.stat().st_size
    assert content["layers"][0]["shape"] == [24, 40, 8]


def test_a_damaged_plan_is_named(source, tmp_path, clips) -> None:
    path = quantize_model(source, tmp_path / "int8.onnx", "int8", clips).path
    model = onnx.load(path)
    info = info_of(model)
    assert info.plan is not None
    info.plan["layers"][0]["shape"] = [24, None, 8]
    set_info(model, info)
    save_model(model, path)
    with pytest.raises(ModelError, match=r"int8\.onnx: .*shape\[1\] must be a whole number"):
        inspect_model(path)


def test_foreign_quantized_model_without_a_plan(source, tmp_path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = tmp_path / "foreign.onnx"
    model = onnx.load(source)
    del model.metadata_props[:]
    quantize_dynamic(model, path, op_types_to_quantize=["Conv"], weight_type=QuantType.QUInt8)
    layer = inspect_model(path).layers[0]
    assert (layer.op, layer.codec, layer.compute) == ("ConvInteger", "uint8", "dynamic")

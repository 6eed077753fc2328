"""Each integer kernel of ONNX Runtime in a model of its own, with the largest numbers there are.

Activations are 255 (or the largest that the kernel makes of them), weights as large as is asked
for, of one sign in half of the channels and of the other in the rest: if any processor's sums can
overflow, these do. Results are scaled so that 8-bit outputs hold them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_INPUTS, _OUTPUTS = 64, 16
_CONVOLUTIONS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "": ((_OUTPUTS, 16, 4), 1),
    " in groups": ((_OUTPUTS, 8, 4), 2),
    " depthwise": ((_OUTPUTS, 1, 8), _OUTPUTS),
}
_BLOCKS = tuple((bits, size) for bits in (2, 4, 8) for size in (16, 32, 64, 128))
_BLOCK_INPUTS = 256


def write_kernels(folder: Path, largest: int) -> dict[str, np.ndarray]:
    """Write a model for each kernel into ``folder``; returns their inputs for ``host_worker``.

    Args:
        largest: how far from zero the int8 weights go.
    """
    inputs: dict[str, np.ndarray] = {}
    for name, model, value in kernels(largest):
        onnx.save(model, folder / f"{name}.onnx")
        inputs[f"{name}:0/x"] = value
    return inputs


def kernels(largest: int) -> Iterator[tuple[str, onnx.ModelProto, np.ndarray]]:
    """Name, model and input of each."""
    yield from _products(largest)
    yield from _convolutions(largest)
    yield _lstm(largest)
    for bits, size in _BLOCKS:
        yield _blocks(bits, size)


def _products(largest: int) -> Iterator[tuple[str, onnx.ModelProto, np.ndarray]]:
    weight = _signed((_INPUTS, _OUTPUTS), largest, axis=1)
    ones = np.ones((3, _INPUTS), np.float32)
    scales = {"ws": np.ones(_OUTPUTS, np.float32)}
    fused = [
        helper.make_node("Cast", ["p"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "s"], ["scaled"]),
        helper.make_node("Mul", ["scaled", "ws"], ["y"]),
    ]
    yield (
        "DynamicQuantizeMatMul",
        _model(
            [
                helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
                helper.make_node("MatMulInteger", ["q", "w", "z"], ["p"]),
                helper.make_node("Cast", ["p"], ["f"], to=TensorProto.FLOAT),
                helper.make_node("Mul", ["s", "ws"], ["sw"]),
                helper.make_node("Mul", ["f", "sw"], ["y"]),
            ],
            {"w": weight, **scales},
            ones,
        ),
        ones,
    )
    yield (
        "MatMulInteger",
        _model(
            [_quantize(), helper.make_node("MatMulInteger", ["q", "w", "z"], ["p"]), *fused],
            {"w": weight, **scales, **_GRID},
            ones,
        ),
        ones,
    )
    signed = {"s": np.float32(1 / 127), "z": np.int8(0)}
    yield (
        "MatMulInteger of int8 by int8",
        _model(
            [_quantize(), helper.make_node("MatMulInteger", ["q", "w", "z"], ["p"]), *fused],
            {"w": weight, **scales, **signed},
            ones,
        ),
        ones,
    )
    unsigned = (weight.astype(np.int16) + 128).astype(np.uint8)
    yield (
        "MatMulInteger of uint8 by uint8",
        _model(
            [_quantize(), helper.make_node("MatMulInteger", ["q", "w", "z"], ["p"]), *fused],
            {"w": unsigned, **scales, **_GRID},
            ones,
        ),
        ones,
    )
    for kernel, domain in (("QLinearMatMul", ""), ("QGemm", "com.microsoft")):
        bias = ["b"] if kernel == "QGemm" else []
        names = ["q", "s", "z", "w", "ws", "wz", *bias, "ys", "yz"]
        constants = {"b": np.zeros(_OUTPUTS, np.int32)} if bias else {}
        yield (
            kernel,
            _model(
                [_quantize(), helper.make_node(kernel, names, ["r"], domain=domain), _dequantize()],
                {"w": weight, **_GRID, **_result(weight), **constants},
                ones,
            ),
            ones,
        )


def _convolutions(largest: int) -> Iterator[tuple[str, onnx.ModelProto, np.ndarray]]:
    value = np.ones((2, 16, 12), np.float32)
    for label, (shape, groups) in _CONVOLUTIONS.items():
        weight = _signed(shape, largest, axis=0)
        names = ["q", "s", "z", "w", "ws", "wz", "ys", "yz"]
        node = helper.make_node("QLinearConv", names, ["r"], group=groups)
        yield (
            f"QLinearConv{label}",
            _model(
                [_quantize(), node, _dequantize()],
                {"w": weight, **_GRID, **_result(weight)},
                value,
            ),
            value,
        )
        bytes_ = (weight.astype(np.int16) + 128).astype(np.uint8)
        yield (
            f"ConvInteger{label}",
            _model(
                [
                    _quantize(),
                    helper.make_node("ConvInteger", ["q", "w", "z", "wz"], ["p"], group=groups),
                    helper.make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
                ],
                {"w": bytes_, "wz": np.uint8(128), **_GRID},
                value,
            ),
            value,
        )


def _lstm(largest: int) -> tuple[str, onnx.ModelProto, np.ndarray]:
    hidden = 16
    rows = 4 * hidden
    constants = {
        "w": _signed((1, _INPUTS, rows), largest, axis=2),
        "r": _signed((1, hidden, rows), largest, axis=2),
        "b": np.zeros((1, 2 * rows), np.float32),
        "z": np.zeros((1, rows), np.int8),
    }
    # So that no gate is saturated, which would hide an error.
    for name, inputs in (("w", _INPUTS), ("r", hidden)):
        constants[f"{name}s"] = np.full((1, rows), 1 / (127 * inputs), np.float32)
    names = ["x", "w", "r", "b", "", "", "", "", "ws", "z", "rs", "z"]
    node = helper.make_node(
        "DynamicQuantizeLSTM", names, ["y"], domain="com.microsoft", hidden_size=hidden
    )
    value = np.ones((3, 1, _INPUTS), np.float32)
    return "DynamicQuantizeLSTM", _model([node], constants, value), value


def _blocks(bits: int, size: int) -> tuple[str, onnx.ModelProto, np.ndarray]:
    blocks = _BLOCK_INPUTS // size
    codes = np.full((_OUTPUTS, blocks, size * bits // 8), 255, np.uint8)
    codes[_OUTPUTS // 2 :] = 0
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "s"],
        ["y"],
        domain="com.microsoft",
        bits=bits,
        block_size=size,
        K=_BLOCK_INPUTS,
        N=_OUTPUTS,
        accuracy_level=4,
    )
    value = np.ones((3, _BLOCK_INPUTS), np.float32)
    value[1] = -1
    constants = {"w": codes, "s": np.ones((_OUTPUTS, blocks), np.float32)}
    return f"MatMulNBits, {bits} bits, blocks of {size}", _model([node], constants, value), value


# Of activations from 0 to 1.
_GRID: Mapping[str, Any] = {"s": np.float32(1 / 255), "z": np.uint8(0)}


def _signed(shape: Sequence[int], largest: int, axis: int) -> np.ndarray:
    """int8; the second half of the channels, along ``axis``, is negative."""
    weight = np.full(shape, largest, np.int8)
    half: list[slice] = [slice(None)] * len(shape)
    half[axis] = slice(shape[axis] // 2, None)
    weight[tuple(half)] = -largest
    return weight


def _result(weight: np.ndarray) -> dict[str, Any]:
    """Grids of an int8 weight and of a uint8 result that holds the largest sum."""
    sums = weight.size // _OUTPUTS
    return {
        "ws": np.full(_OUTPUTS, 1 / 127, np.float32),
        "wz": np.zeros(_OUTPUTS, np.int8),
        "ys": np.float32(sums / 120),
        "yz": np.uint8(128),
    }


def _quantize() -> onnx.NodeProto:
    return helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])


def _dequantize() -> onnx.NodeProto:
    return helper.make_node("DequantizeLinear", ["r", "ys", "yz"], ["y"])


def _model(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any], value: np.ndarray
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "kernel",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, value.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)

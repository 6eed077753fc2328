"""Which kernel ONNX Runtime really runs for each layer.

A file that holds int8 weights may still compute in float32, when a fusion did not match or the
weights were folded back, or may land on a kernel that is slower than float32. ONNX Runtime can
write down the graph that it runs after all optimisations; this module reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import onnxruntime
from onnx import TensorProto

from quantkit.graph.artifact import load_model
from quantkit.graph.layers import Layer, find_layers
from quantkit.runtime.optimised import optimised_graph

Status = Literal["int8", "float32", "fell back", "folded to float", "slow kernel", "unknown"]

#: Integer kernels, each with the positions of its weight and of its activation's zero point.
_INTEGER_KERNELS: dict[str, tuple[int, int]] = {
    "QLinearConv": (3, 2),
    "QLinearMatMul": (3, 2),
    "QGemm": (3, 2),
    "ConvInteger": (1, 2),
    "MatMulInteger": (1, 2),
    "MatMulIntegerToFloat": (1, 4),
    "DynamicQuantizeMatMul": (1, -1),
    "MatMulNBits": (1, -1),
    "QAttention": (1, -1),
    "DynamicQuantizeLSTM": (1, -1),
}
_FLOAT_KERNELS = frozenset(
    {
        "Conv",
        "FusedConv",
        "NhwcFusedConv",
        "ConvTranspose",
        "MatMul",
        "FusedMatMul",
        "Gemm",
        "FusedGemm",
        "Gather",
        "TransposeMatMul",
    }
)
_SIXTEEN_BIT = frozenset({TensorProto.INT16, TensorProto.UINT16})
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})

# What ONNX Runtime and its quantizer put behind a node's name when they replace it.
_SUFFIX = re.compile(
    r"(_token_\d+|_quant|_nhwc|_transformed|/MatMulAddFusion.*|_Gemm|_fused|/duplicated.*)+$"
)


@dataclass(frozen=True)
class LintRow:
    """One layer of the file and what became of it.

    Args:
        name: of the layer.
        stored: data type of its weight in the file.
        kernel: operator that ONNX Runtime runs; empty when it was not found again.
        status: ``int8``: an integer kernel; ``float32``: float as stored; ``fell back``: int8 in
            the file, but a float kernel; ``folded to float``: the same, and the weight was turned
            into float32 while loading; ``slow kernel``: an integer kernel that is slower than
            float32, or than another storage type would make it; ``unknown``.
        remark: what is wrong and how to mend it; empty when nothing is.
    """

    name: str
    stored: str
    kernel: str
    status: Status
    remark: str = ""


@dataclass(frozen=True)
class LintReport:
    """All layers of one model under one version of ONNX Runtime."""

    rows: tuple[LintRow, ...]
    onnxruntime: str

    @property
    def problems(self) -> tuple[LintRow, ...]:
        """Layers that do not run as their storage promises."""
        return tuple(row for row in self.rows if row.remark)

    @property
    def integer_layers(self) -> int:
        """How many layers run on an integer kernel."""
        return sum(row.status in ("int8", "slow kernel") for row in self.rows)

    def summary(self) -> str:
        """One line, such as ``11 of 11 layers run in int8``."""
        text = f"{self.integer_layers} of {len(self.rows)} layers run in int8"
        return f"{text}; {len(self.problems)} with a problem" if self.problems else text


def lint_model(path: Path) -> LintReport:
    """Load ``path`` in ONNX Runtime and report the kernel of every layer.

    Raises:
        ModelError: the file is damaged or ONNX Runtime does not load it.
    """
    model = load_model(path)
    layers = find_layers(model)
    stored = _stored_types(model, layers)
    del model
    optimised = optimised_graph(path)
    kernels = _kernels(optimised)
    types = {tensor.name: tensor.data_type for tensor in optimised.initializer}
    rows = [_judge(layer, stored[layer.name], kernels.get(layer.name), types) for layer in layers]
    return LintReport(tuple(rows), str(onnxruntime.__version__))


def _judge(
    layer: Layer, stored: int, node: onnx.NodeProto | None, types: Mapping[str, int]
) -> LintRow:
    type_name = _type_name(stored)
    if node is None:
        if stored in _FLOATS:
            return LintRow(layer.name, type_name, "", "float32")
        return LintRow(
            layer.name, type_name, "", "unknown", "its node is not in the optimised graph"
        )
    kernel = str(node.op_type)
    if kernel in _INTEGER_KERNELS:
        remark = _slowness(node, types)
        status: Status = "slow kernel" if remark else "int8"
        return LintRow(layer.name, type_name, kernel, status, remark)
    if stored in _FLOATS:
        return LintRow(layer.name, type_name, kernel, "float32")
    folded = any(types.get(name) in _FLOATS for name in node.input[:2])
    if folded:
        return LintRow(
            layer.name,
            type_name,
            kernel,
            "folded to float",
            f"stored as {type_name}, but its weight becomes float32 while loading: smaller on "
            "disk only",
        )
    return LintRow(
        layer.name,
        type_name,
        kernel,
        "fell back",
        f"stored as {type_name}, but runs as float {kernel}: input, weight and output each need "
        "an 8-bit grid that the kernel knows",
    )


def _slowness(node: onnx.NodeProto, types: Mapping[str, int]) -> str:
    """Why this integer kernel is a slow one; empty if it is not.

    Speeds are against float32, ONNX Runtime 1.31, AVX-512 VNNI, one thread.
    """
    weight_position, zero_position = _INTEGER_KERNELS[node.op_type]
    weight = types.get(node.input[weight_position], TensorProto.UNDEFINED)
    activation: int = TensorProto.UNDEFINED
    if 0 <= zero_position < len(node.input):
        activation = types.get(node.input[zero_position], TensorProto.UNDEFINED)
    if weight in _SIXTEEN_BIT or activation in _SIXTEEN_BIT:
        return "16-bit integers run about as fast as float32; use 8 bits"
    if node.op_type == "ConvInteger" and weight == TensorProto.INT8:
        return "ConvInteger with int8 weights runs at 0.2 times float32; store them as uint8"
    if activation == TensorProto.INT8:
        return "int8 activations (S8S8) run at 0.2 times float32 on x86; use uint8 activations"
    if node.op_type == "QLinearConv" and weight == TensorProto.UINT8:
        return "uint8 weights run at half the speed of int8 ones; store them as int8"
    return ""


def _stored_types(model: onnx.ModelProto, layers: list[Layer]) -> dict[str, int]:
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {layer.name: types.get(layer.weight, TensorProto.FLOAT) for layer in layers}


def _kernels(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Nodes that compute layers, by the name of the layer."""
    found: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if node.op_type in _INTEGER_KERNELS or node.op_type in _FLOAT_KERNELS:
            name = node.name or node.output[0]
            found.setdefault(name, node)
            found.setdefault(_SUFFIX.sub("", name), node)
    return found


def _type_name(data_type: int) -> str:
    name = str(TensorProto.DataType.Name(data_type)).lower()
    return "float32" if name == "float" else name

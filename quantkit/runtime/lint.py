"""Which kernel ONNX Runtime really runs for each layer.

A file that holds int8 weights may still compute in float32, when a fusion did not match or the
weights were folded back, or may land on a kernel that is slower than float32. ONNX Runtime can
write down the graph that it runs after all optimisations; this module reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import onnx
import onnxruntime
from onnx import TensorProto

from quantkit.graph.artifact import load_model
from quantkit.graph.info import info_of
from quantkit.graph.layers import FoundLayer, Layer, locate_layers
from quantkit.graph.operators import lookups, operators
from quantkit.graph.partition import bodies
from quantkit.runtime.optimised import name_before_fusion, optimised_graph

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
    "GatherBlockQuantized": (0, -1),
    "QAttention": (1, -1),
    "DynamicQuantizeLSTM": (1, -1),
}
_SIXTEEN_BIT = frozenset({TensorProto.INT16, TensorProto.UINT16})
_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})


@dataclass(frozen=True)
class LintRow:
    """One layer of the file and what became of it.

    Args:
        name: of the layer.
        stored: data type of its weight in the file.
        kernel: operator that ONNX Runtime runs; empty when it was not found again.
        status: ``int8``: an integer kernel, or an embedding whose rows are looked up as integers
            and made float one by one; ``float32``: float as stored, or as the file's plan says;
            ``fell back``: int8 in the file, but a float kernel; ``folded to float``: the same, and
            the weight was turned into float32 while loading, which no plan says; ``slow kernel``:
            an integer kernel that is slower than float32, or than another storage type would make
            it; ``unknown``.
        remark: what is wrong and how to mend it; empty when nothing is.
        folded: whether the kernel reads a constant: nothing is left of nodes that rebuild the
            weight from packed tensors. True also where there were none.
    """

    name: str
    stored: str
    kernel: str
    status: Status
    remark: str = ""
    folded: bool = True


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
    def folded(self) -> bool:
        """Whether no layer rebuilds its weight in every run."""
        return all(row.folded for row in self.rows)

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

    A layer that computes in float32 is judged by the plan that the file carries: it is as it
    should be where the plan says so, and fell back where it does not or there is none.

    Raises:
        ModelError: the file is damaged or ONNX Runtime does not load it.
    """
    model = load_model(path)
    located = locate_layers(model)
    layers = [each.layer for each in located]
    stored = _stored_types(model, layers)
    decoders = _decoders(model.graph, located)
    plan = info_of(model, str(path)).plan or {}
    planned = {row.get("name"): row.get("compute") for row in plan.get("layers", [])}
    # A two-dimensional float convolution is renamed after its result.
    names = {each.layer.name: _names(each.node) for each in located}
    slots = {each.layer.name: _inputs_of(each) for each in located}
    del model, located
    optimised = optimised_graph(path)
    kernels = _kernels(optimised)
    types = {tensor.name: tensor.data_type for tensor in optimised.initializer}
    computed = {name for node in optimised.node for name in node.output}
    rows = []
    for layer in layers:
        node = next((kernels[name] for name in names[layer.name] if name in kernels), None)
        as_float = planned.get(layer.name) == "float32"
        row = _judge(layer, stored[layer.name], node, types, slots[layer.name], as_float)
        if decoders[layer.name] & computed:
            remark = row.remark or "its weight is rebuilt in every run, not once while loading"
            row = replace(row, folded=False, remark=remark)
        rows.append(row)
    return LintReport(tuple(rows), str(onnxruntime.__version__))


def _judge(
    layer: Layer,
    stored: int,
    node: onnx.NodeProto | None,
    types: Mapping[str, int],
    positions: slice,
    planned_as_float: bool,
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
    folded = any(types.get(name) in _FLOATS for name in node.input[positions])
    if kernel in lookups() and not folded:
        return LintRow(layer.name, type_name, kernel, "int8")
    if planned_as_float:
        return LintRow(layer.name, type_name, kernel, "float32")
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
    if node.op_type == "MatMulNBits":
        return _slowness_of_blocks(node)
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


def _slowness_of_blocks(node: onnx.NodeProto) -> str:
    settings = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    bits, block_size = settings.get("bits", 4), settings.get("block_size", 32)
    if bits != 4 and settings.get("accuracy_level", 0) != 4:
        return f"with {bits} bits only accuracy_level 4 is fast: others unpack the weight each run"
    if bits == 2 and not 32 <= block_size <= 128:
        return "2-bit blocks of other than 32, 64 or 128 weights are unpacked in each run"
    return ""


def _names(node: onnx.NodeProto) -> tuple[str, ...]:
    """What the kernel of a node may be called."""
    return (*([str(node.name)] if node.name else []), *(str(name) for name in node.output if name))


def _inputs_of(layer: FoundLayer) -> slice:
    """Inputs among which a kernel has the weight."""
    if layer.slot.label:
        return slice(min(layer.slot.positions), max(layer.slot.positions) + 1)
    return slice(0, 2)


def _decoders(graph: onnx.GraphProto, layers: list[FoundLayer]) -> dict[str, set[str]]:
    """What nodes compute from constants alone for each layer, by the layer's name."""
    constant = {tensor.name for tensor in graph.initializer}
    producers: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if all(name in constant for name in node.input if name):
            constant.update(node.output)
            producers |= dict.fromkeys(node.output, node)
    found: dict[str, set[str]] = {}
    for each in layers:
        values: set[str] = set()
        pending = [each.value] if each.slot.label else list(each.node.input)
        while pending:
            value = pending.pop()
            if value in producers and value not in values:
                values.add(value)
                pending.extend(producers[value].input)
        found[each.layer.name] = values
    return found


def _stored_types(model: onnx.ModelProto, layers: list[Layer]) -> dict[str, int]:
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {layer.name: types.get(layer.weight, TensorProto.FLOAT) for layer in layers}


def _kernels(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Nodes that compute layers, by the name of the layer."""
    found: dict[str, onnx.NodeProto] = {}
    float_kernels = frozenset[str]().union(*(each.float_kernels for each in operators()))
    for node in _all_nodes(graph):
        if node.op_type in _INTEGER_KERNELS or node.op_type in float_kernels:
            name = node.name or node.output[0]
            found.setdefault(name, node)
            found.setdefault(name_before_fusion(name), node)
    return found


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Those in the bodies of control flow included."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from _all_nodes(body)


def _type_name(data_type: int) -> str:
    name = str(TensorProto.DataType.Name(data_type)).lower()
    return "float32" if name == "float" else name

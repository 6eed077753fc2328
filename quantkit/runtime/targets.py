"""What each stock release of ONNX Runtime loads, 1.15 to 1.32, on its CPU provider.

Everything here was measured: each release was handed tiny models, one per operator set, IR version
and narrow type, and its list of kernels was read; the first and the last patch of the releases at
the borders gave the same answers. ``python -m benchmarks.compatibility`` checks the table against
whole recognisers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import onnx
from onnx import TensorProto, defs, helper, shape_inference

from quantkit.errors import InputError, ModelError

_STANDARD = ("", "ai.onnx")
_CONTRIBUTED = "com.microsoft"


@dataclass(frozen=True)
class Target:
    """One release of ONNX Runtime, whatever its patch number.

    Args:
        version: such as ``1.17``.
        opset: newest version of the standard operator set; a model with a newer one is refused.
        ir_version: newest IR version, likewise.
        cast_bits: widths of the narrow integers (``INT4``, ``UINT4``; ``INT2``, ``UINT2``) that a
            ``Cast`` of a constant unpacks. Initializers of such a type are useless without.
        matmul_bits: widths that ``com.microsoft.MatMulNBits`` multiplies by.
    """

    version: str
    opset: int
    ir_version: int
    cast_bits: tuple[int, ...] = ()
    matmul_bits: tuple[int, ...] = ()


#: Every known release, the oldest first.
TARGETS = (
    Target("1.15", 19, 9),
    Target("1.16", 19, 9, matmul_bits=(4,)),
    Target("1.17", 20, 9, matmul_bits=(4,)),
    *(Target(f"1.{minor}", 21, 10, matmul_bits=(4,)) for minor in (18, 19, 20)),
    Target("1.21", 22, 10, matmul_bits=(4,)),
    Target("1.22", 22, 10, matmul_bits=(4, 8)),
    Target("1.23", 23, 11, cast_bits=(4,), matmul_bits=(4, 8)),
    Target("1.24", 25, 13, cast_bits=(2, 4), matmul_bits=(2, 4, 8)),
    *(
        Target(f"1.{minor}", 26, 13, cast_bits=(2, 4), matmul_bits=(2, 4, 8))
        for minor in range(25, 32)
    ),
    Target("1.32", 28, 14, cast_bits=(2, 4), matmul_bits=(2, 4, 8)),
)

_NEVER = 1_000

_FOUR_BITS = (TensorProto.INT4, TensorProto.UINT4)
_TWO_BITS = (TensorProto.INT2, TensorProto.UINT2)
#: Types that an operator has a kernel for only where the tables below say so.
_NARROW = (*_FOUR_BITS, *_TWO_BITS)
_SMALL_INTEGERS = (TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.UINT16)
_BYTES = (TensorProto.INT8, TensorProto.UINT8)

#: Minor number of the first release with a kernel for an operator with inputs of a type, where
#: that is not the first release with a kernel for the operator. Float types are not listed: what
#: has no kernel in float16 is run in float32.
_FIRST_WITH_TYPE: Mapping[tuple[str, int], int] = {
    **{
        (operator, data_type): 21
        for operator in (
            *("Add", "Sub", "Mul", "Div", "Equal"),
            *("Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
        )
        for data_type in _SMALL_INTEGERS
    },
    **{
        (operator, data_type): minor
        for operator in ("QuantizeLinear", "DequantizeLinear", "Transpose")
        for minor, narrow in ((19, _FOUR_BITS), (24, _TWO_BITS))
        for data_type in narrow
    },
    **{("Cast", data_type): 23 for data_type in _FOUR_BITS},
    **{("Cast", data_type): 24 for data_type in _TWO_BITS},
    **{(operator, data_type): 24 for operator in ("Max", "Min") for data_type in _BYTES},
    **{("TopK", data_type): 26 for data_type in (*_BYTES, TensorProto.INT16)},
    ("Neg", TensorProto.INT16): 21,
    ("ConvInteger", TensorProto.INT8): 24,
    ("DepthToSpace", TensorProto.UINT8): 21,
    ("DepthToSpace", TensorProto.INT8): 28,
    ("SpaceToDepth", TensorProto.UINT8): 28,
    ("SpaceToDepth", TensorProto.INT8): 28,
    ("Where", TensorProto.INT8): 31,
    ("BitShift", TensorProto.UINT16): 32,
}

#: Minor number of the first release with a kernel for a version of a standard operator, where
#: older releases know the version and refuse the model all the same.
_FIRST_WITH_KERNEL: Mapping[tuple[str, int], int] = {
    ("DeformConv", 19): 25,
    ("DeformConv", 22): 25,
    ("LpNormalization", 22): 25,
    ("QLinearMatMul", 21): 20,
    ("TensorScatter", 24): 25,
}

#: Versions of standard operators that no known release has a kernel for.
_WITHOUT_KERNEL = frozenset(
    {
        ("ImageDecoder", 20),
        *(
            (operator, 22)
            for operator in (
                *("GlobalLpPool", "MaxRoiPool", "Multinomial", "RoiAlign"),
                *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
            )
        ),
    }
)

#: Minor number of the first release with ONNX Runtime's own operators, as far as recognisers,
#: quantized or optimised, use them. MatMulNBits also depends on its bits.
_FIRST_CONTRIBUTED: Mapping[str, int] = {
    **dict.fromkeys(
        (
            *("Attention", "BiasGelu", "DequantizeLinear", "DynamicQuantizeLSTM"),
            *("DynamicQuantizeMatMul", "FastGelu", "FusedConv", "FusedGemm", "FusedMatMul"),
            *("Gelu", "MatMulIntegerToFloat", "MultiHeadAttention", "NhwcMaxPool", "QAttention"),
            *("QGemm", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv"),
            *("QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearSigmoid"),
            *("QLinearSoftmax", "QLinearWhere", "QuantizeLinear", "QuickGelu"),
            *("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"),
            "TransposeMatMul",
        ),
        15,
    ),
    "RotaryEmbedding": 16,
    "GroupQueryAttention": 18,
    "DynamicTimeWarping": 20,
    # On bytes; 2 bits have a limit of their own below.
    "GatherBlockQuantized": 23,
}


def target(version: str) -> Target:
    """The release of that name.

    Args:
        version: ``1.17``, ``1.17.3`` or ``newest``: the newest that this table knows.

    Raises:
        InputError: no version number, or older or newer than the table.

    >>> target("1.17.3").opset
    20
    """
    oldest, newest = TARGETS[0], TARGETS[-1]
    if version == "newest":
        return newest
    number = re.fullmatch(r"(\d+)\.(\d+)(?:\.\d+)?", version)
    if number is None:
        raise InputError(
            f"{version!r} is no version of ONNX Runtime; give one such as {newest.version} or "
            "newest"
        )
    wanted = int(number[1]), int(number[2])
    for candidate in TARGETS:
        if wanted == (1, _minor(candidate)):
            return candidate
    if wanted < (1, _minor(oldest)):
        raise InputError(
            f"ONNX Runtime {version} is too old; the oldest that is supported is {oldest.version}"
        )
    raise InputError(
        f"ONNX Runtime {version} is not known; the newest that is known is {newest.version}"
    )


def oldest_for(model: onnx.ModelProto) -> Target | None:
    """The oldest release that loads ``model``; None where none of the known ones does.

    Judged by operator set, IR version, operators and the types of their inputs and outputs. The
    model must be valid ONNX, its operators standard or of ``com.microsoft``; of other domains, and
    of what graph optimisers alone put in, nothing is known: None.

    Raises:
        ModelError: a node has too few inputs, or types that contradict each other.
    """
    standard = (entry.version for entry in model.opset_import if entry.domain in _STANDARD)
    opset = max(standard, default=1)
    types = _types_of_values(model)
    bodies = {(function.domain, function.name) for function in model.functions}
    nodes = list(_nodes(model.graph.node))
    for function in model.functions:
        nodes += _nodes(function.node)
    least = max(
        _first(lambda release: release.opset >= opset),
        _first(lambda release: release.ir_version >= model.ir_version),
        *(
            _first_for(node, opset, types)
            for node in nodes
            if (node.domain, node.op_type) not in bodies
        ),
    )
    return next((release for release in TARGETS if _minor(release) == least), None)


def _minor(release: Target) -> int:
    return int(release.version.removeprefix("1."))


def _first(fits: Callable[[Target], bool]) -> int:
    return next((_minor(release) for release in TARGETS if fits(release)), _NEVER)


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """All of them, those of subgraphs too."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _first_for(node: onnx.NodeProto, opset: int, types: Mapping[str, int]) -> int:
    """Minor number of the first release that has a kernel for ``node``."""
    operator = node.op_type
    if node.domain == _CONTRIBUTED:
        if operator == "MatMulNBits":
            bits = next((a.i for a in node.attribute if a.name == "bits"), 4)
            return _first(lambda release: bits in release.matmul_bits)
        if operator == "GatherBlockQuantized" and any(
            a.name == "bits" and a.i == 2 for a in node.attribute
        ):
            return 27
        return _FIRST_CONTRIBUTED.get(operator, _NEVER)
    if node.domain not in _STANDARD or not defs.has(operator):
        return _NEVER
    try:
        version = defs.get_schema(operator, opset, "").since_version
    except defs.SchemaError:
        return _NEVER
    if (operator, version) in _WITHOUT_KERNEL:
        return _NEVER
    needed = [_FIRST_WITH_KERNEL.get((operator, version), _minor(TARGETS[0]))]
    for name in (*node.input, *node.output):
        data_type = types.get(name, TensorProto.UNDEFINED)
        if data_type in _NARROW:
            needed.append(_FIRST_WITH_TYPE.get((operator, data_type), _NEVER))
        else:
            needed.append(_FIRST_WITH_TYPE.get((operator, data_type), 0))
    return max(needed)


def _types_of_values(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every value that type inference understands."""
    # Inference copies the model through protobuf, so the large tensors stay behind.
    light = onnx.ModelProto(ir_version=model.ir_version)
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    light.graph.name = model.graph.name
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    light.graph.node.extend(model.graph.node)
    given = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in given:
            light.graph.input.append(
                helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    types: dict[str, int] = {}
    try:
        pending = [shape_inference.infer_shapes(light).graph]
    except shape_inference.InferenceError as error:
        raise ModelError(f"the model is no valid ONNX: {' '.join(str(error).split())}") from error
    while pending:
        graph = pending.pop()
        for value in (*graph.input, *graph.output, *graph.value_info):
            types[value.name] = value.type.tensor_type.elem_type
        for tensor in graph.initializer:
            types[tensor.name] = tensor.data_type
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending.extend(attribute.graphs)
    return types

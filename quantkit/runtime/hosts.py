"""On which processors a file computes what it says, judged by its kernels and its weights.

Where an x86 processor has AVX2 or AVX-512 but no VNNI, ONNX Runtime's matrix product of uint8 by
int8 adds two products in 16 bits (``vpmaddubsw``), and what does not fit stays at the limit: twice
255 · 127 becomes 32,767. As long as no weight is further than 64 from zero, it fits: 255 · 64 · 2
is 32,640. Which kernels are built on that product was measured with the largest weights that there
are, under an emulated Haswell; 64-bit ARM, with and without its instructions for dot products, and
x86 without AVX2 gave exact results throughout. ``python -m benchmarks.hosts`` repeats it.

ONNX Runtime's own remedy, the session entry ``session.x64quantprecision``, turns weights beyond 64
into uint8, for which there is an exact and slower product. It is none for files of quantkit: 1.32.0
refuses to load those in which layers share a zero point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from quantkit.arrays import Array
from quantkit.graph.partition import bodies
from quantkit.json_dataclass import build
from quantkit.runtime.optimised import name_before_fusion, optimised_file

#: No sum of two products of a byte and such a weight overflows 16 bits.
SAFE_LEVEL = 64
#: How far from zero int8 goes.
INT8_REACH = 128


@dataclass(frozen=True)
class _Kernel:
    """Inputs of a kernel for integers.

    Args:
        weights: what bytes of the activations are multiplied by.
        zero_points: of the weights, which have their type.
        activations: zero point of the activations; None where these are float ones, which the
            kernel makes uint8.
    """

    weights: tuple[int, ...] = ()
    zero_points: tuple[int, ...] = ()
    activations: int | None = None


# Those without weights here were exact wherever they were tried.
_KERNELS: Mapping[str, _Kernel] = {
    "QLinearConv": _Kernel((3,), (5,), 2),
    "QLinearMatMul": _Kernel((3,), (5,), 2),
    "QGemm": _Kernel((3,), (5,), 2),
    "MatMulInteger": _Kernel((1,), (3,), 2),
    "MatMulIntegerToFloat": _Kernel((1,), (5,), 4),
    "DynamicQuantizeMatMul": _Kernel((1,), (3,)),
    "DynamicQuantizeLSTM": _Kernel((1, 2), (9, 11)),
    "QAttention": _Kernel((1,), (7,), 6),
    "ConvInteger": _Kernel(),
    "MatMulNBits": _Kernel(),
    "GatherBlockQuantized": _Kernel(),
}


@dataclass(frozen=True)
class IntegerLayer:
    """A node that is computed on integers.

    Args:
        name: of the node in the file.
        kernel: that ONNX Runtime runs.
        largest_level: how far its int8 weights go from zero: 128 where they are computed in a run;
            0 where the kernel cannot overflow, or its weights are uint8.
    """

    name: str
    kernel: str
    largest_level: int

    @property
    def may_overflow(self) -> bool:
        """Whether the kernel's sums may overflow on x86 with AVX2 and without VNNI."""
        return self.largest_level > SAFE_LEVEL


@dataclass(frozen=True)
class Hosts:
    """Where the integer sums of a file are exact.

    Args:
        layers: that are computed on integers.
    """

    layers: tuple[IntegerLayer, ...]

    @property
    def overflowing(self) -> tuple[IntegerLayer, ...]:
        """Layers whose sums may overflow on x86 with AVX2 and without VNNI."""
        return tuple(layer for layer in self.layers if layer.may_overflow)

    @property
    def exact_on(self) -> tuple[str, ...]:
        """Names of targets; see :mod:`quantkit.quantization.choices.target_cpu`."""
        return ("vnni", "arm") if self.overflowing else ("any", "avx2", "vnni", "arm")

    @property
    def largest_level(self) -> int:
        """Of all layers."""
        return max((layer.largest_level for layer in self.layers), default=0)

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "exact_on": list(self.exact_on),
            "largest_level": self.largest_level,
            "layers": [asdict(layer) for layer in self.layers],
        }

    @classmethod
    def from_json(cls, document: object, where: str) -> Hosts:
        """Read :meth:`to_json` back.

        Args:
            where: for messages.

        Raises:
            FormatError: a field is missing or wrong.
        """
        return build(cls, document, where, ignore_unknown=True)

    def summary(self) -> str:
        """One sentence, such as ``exact on x86 with and without VNNI and on ARM``."""
        if not self.layers:
            return "nothing is computed on integers, so no processor makes integer sums overflow"
        if not self.overflowing:
            return "integer sums are exact on x86 with and without VNNI and on 64-bit ARM"
        return (
            "integer sums are exact on x86 with VNNI and on 64-bit ARM; on x86 with AVX2 or "
            f"AVX-512 and without VNNI they may overflow in {len(self.overflowing)} of "
            f"{len(self.layers)} integer layers, whose weights go up to {self.largest_level}: "
            f"--target-cpu any keeps them within {SAFE_LEVEL}"
        )


def hosts_of(path: Path) -> Hosts:
    """Where the integer sums of the ``.onnx`` at ``path`` are exact; anybody's file will do.

    Raises:
        ModelError: the file is damaged or ONNX Runtime does not load it.
    """
    with optimised_file(path) as written:
        graph = onnx.load(str(written), load_external_data=False).graph
        found = _Found.of(graph, written.parent)
        layers = [found.judged(node) for node in found.nodes if node.op_type in _KERNELS]
    return Hosts(tuple(layers))


@dataclass(frozen=True)
class _Found:
    """The nodes and constants of a graph and its bodies."""

    folder: Path
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: dict[str, TensorProto] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: onnx.GraphProto, folder: Path) -> _Found:
        found, pending = cls(folder), [graph]
        while pending:
            graph = pending.pop()
            found.nodes.extend(graph.node)
            found.tensors.update((tensor.name, tensor) for tensor in graph.initializer)
            pending.extend(body for node in graph.node for body in bodies(node))
        return found

    def judged(self, node: onnx.NodeProto) -> IntegerLayer:
        kernel = _KERNELS[node.op_type]
        levels: list[int] = []
        if not self._has_another_product(node, kernel):
            places = zip(kernel.weights, kernel.zero_points, strict=True)
            levels = [self._largest_level(node, *place) for place in places]
        name = name_before_fusion(str(node.name) or str(node.output[0]))
        return IntegerLayer(name, str(node.op_type), max(levels, default=0))

    def _has_another_product(self, node: onnx.NodeProto, kernel: _Kernel) -> bool:
        """Whether bytes are not multiplied as uint8 by int8."""
        if kernel.activations is not None:
            zero_point = self._input(node, kernel.activations)
            if zero_point is not None and zero_point.data_type == TensorProto.INT8:
                return True
        groups = next((each.i for each in node.attribute if each.name == "group"), 1)
        weight = self._input(node, kernel.weights[0]) if kernel.weights and groups > 1 else None
        # One channel in and out of each group: the kernel of depthwise convolutions.
        return weight is not None and list(weight.dims[:2]) == [groups, 1]

    def _largest_level(self, node: onnx.NodeProto, position: int, zero_point: int) -> int:
        """How far from zero the int8 elements of a weight go; 0 for uint8."""
        tensor = self._input(node, position)
        if tensor is None:
            # A run computes it. What is rounded at run time becomes uint8, zero point included.
            known = self._input(node, zero_point)
            is_signed = known is not None and known.data_type == TensorProto.INT8
            return INT8_REACH if is_signed else 0
        if tensor.data_type != TensorProto.INT8:
            return 0
        values: Array = np.asarray(numpy_helper.to_array(tensor, str(self.folder)))
        return max(int(values.max(initial=0)), -int(values.min(initial=0)))

    def _input(self, node: onnx.NodeProto, position: int) -> TensorProto | None:
        """The constant that is an input of ``node``, if there is one."""
        names = node.input
        return self.tensors.get(names[position]) if position < len(names) else None

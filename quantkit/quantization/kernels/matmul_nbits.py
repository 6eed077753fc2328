"""Layers whose kernel reads weights of 2, 4 or 8 bits: ``MatMulNBits``, a contributed operator.

Written from the documentation that ONNX Runtime keeps with the operators. Rewrite rules:

1. ``MatMul`` and ``Gemm`` with a constant right operand → ``MatMulNBits``, and ``Add`` of the bias.
2. ``Gather`` from a constant matrix → ``GatherBlockQuantized``, which reads the same tensors: an
   embedding and an output layer that share a weight share its codes.

The scales of the blocks, one byte each in the file, become float32 while the session loads. With
``accuracy_level`` 4 the kernel rounds activations to int8, block by block; the levels below it are
many times slower for other than 4 bits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Encoded
from quantkit.codecs.blocks import Blocks
from quantkit.errors import ModelError
from quantkit.graph.editor import GraphEditor
from quantkit.graph.opset import CONTRIBUTED, import_contributed
from quantkit.quantization.kernels.bias_correction import correct_added_bias, store_bias
from quantkit.quantization.weights import WeightStore, placed

_INT8_ACTIVATIONS = 4


@dataclass(frozen=True)
class _Operands:
    """Names of the constants that the kernels read; ``zero_points`` is empty for 8 bits."""

    codes: str
    scales: str
    zero_points: str


def quantize_matmul_nbits_layers(
    model: onnx.ModelProto, names: Collection[str], weights: WeightStore
) -> None:
    """Rewrite the named layers in place; each keeps its name.

    Args:
        names: of layers whose codec is :class:`~quantkit.codecs.blocks.Blocks`.
        weights: encodes the weights.

    Raises:
        ModelError: a layer has no constant matrix as its right operand.
    """
    if not names:
        return
    editor = GraphEditor(model)
    stored: dict[int, _Operands] = {}
    for node in [n for n in editor.nodes if n.name in names]:
        _Rewriting(editor, node, weights, stored).apply()
    editor.finish()
    import_contributed(model)


class _Rewriting:
    def __init__(
        self,
        editor: GraphEditor,
        node: onnx.NodeProto,
        weights: WeightStore,
        stored: dict[int, _Operands],
    ) -> None:
        self.editor, self.node, self.weights, self.stored = editor, node, weights, stored
        self.name = str(node.name)
        self.codec = cast(Blocks, weights.codecs[self.name])
        self.nodes: list[onnx.NodeProto] = []
        layer = placed(editor, node)
        self.layer = layer
        values = layer.array()
        if values is None or values.ndim != 2 or layer.stands_left:
            raise ModelError(f"layer {self.name}: its weight is not a constant matrix")
        channels_first = layer.operator.is_lookup or layer.axis(2) == 0
        #: (output channels or rows of the table, inputs)
        self.weight = values if channels_first else values.T

    def apply(self) -> None:
        if self.layer.operator.is_lookup:
            self._look_up()
        else:
            self._multiply()
        self.nodes[-1].output[0] = self.node.output[0]
        self.editor.replace(self.node, self.nodes)

    def _multiply(self) -> None:
        operands = self._operands()
        outputs, inputs = self.weight.shape
        result = self._kernel(
            "MatMulNBits",
            [self.node.input[0], operands.codes, operands.scales, operands.zero_points],
            {"K": inputs, "N": outputs, "accuracy_level": _INT8_ACTIVATIONS},
        )
        encoded, means = self._encoded(), self._by_input(self.weights.means.get(self.name))
        if len(self.node.input) > 2 and self.node.input[2]:
            bias = cast(FloatArray, self.editor.array(self.node.input[2]))
            stored = store_bias(
                self.editor, self.weights, self.name, bias, self.weight, encoded, means
            )
            self._add("Add", [result, stored], "biased")
        else:
            correct_added_bias(self.editor, self.weights, self.node, self.weight, encoded, means)

    def _look_up(self) -> None:
        operands = self._operands()
        rows, columns = self.weight.shape
        # This operator knows no blocks: codes lie in one row.
        layout = self._constant("row_layout", np.array([rows, -1]))
        table = self._add("Reshape", [operands.codes, layout], "rows")
        result = self._kernel(
            "GatherBlockQuantized",
            [table, self.node.input[1], operands.scales, operands.zero_points],
            {"gather_axis": 0, "quantize_axis": 1},
        )
        if columns % self.codec.block_size:
            start, end = self._constant("start", np.array([0])), np.array([columns])
            last = self._constant("last_axis", np.array([-1]))
            self._add("Slice", [result, start, self._constant("columns", end), last], "trimmed")

    def _kernel(self, op: str, inputs: list[str], attributes: Mapping[str, int]) -> str:
        output = self.editor.free_name(f"{self.name}.product")
        kernel = helper.make_node(
            op,
            inputs if inputs[-1] else inputs[:-1],
            [output],
            self.name,
            domain=CONTRIBUTED,
            bits=self.codec.bits,
            block_size=self.codec.block_size,
        )
        kernel.attribute.extend(helper.make_attribute(*each) for each in attributes.items())
        self.nodes.append(kernel)
        return output

    def _operands(self) -> _Operands:
        encoded = self._encoded()
        if id(encoded) in self.stored:
            return self.stored[id(encoded)]
        parts: dict[str, str] = {}
        for packed in encoded.packed:
            name = self.editor.free_name(f"{self.name}.{packed.part.name}")
            self.editor.initializers[name] = packed.to_tensor(name)
            parts[packed.part.name] = name
        scale = self._constant("weight_scale", encoded.scale[:, None])
        multipliers = self._add("Cast", [parts["multipliers"]], "steps", to=TensorProto.FLOAT)
        scales = self._add("Mul", [multipliers, scale], "scales")
        operands = _Operands(parts["codes"], scales, parts.get("zero_points", ""))
        self.stored[id(encoded)] = operands
        return operands

    def _encoded(self) -> Encoded:
        importance = self._by_input(self.weights.second_moments.get(self.name))
        biased = self.layer.has_bias
        return self.weights.encode(self.name, self.weight, 0, importance, bias=biased)

    def _by_input(self, values: FloatArray | None) -> FloatArray | None:
        """One number per input, to broadcast to the weight."""
        return None if values is None else values.reshape(1, -1)

    def _add(self, op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = self.editor.free_name(f"{self.name}.{part}")
        self.nodes.append(
            helper.make_node(op, inputs, [output], f"{self.name}/{part}", **attributes)
        )
        return output

    def _constant(self, part: str, value: npt.NDArray[Any]) -> str:
        return self.editor.constant(f"{self.name}.{part}", value)

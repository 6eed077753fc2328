"""``ConvTranspose``: each input value spreads a row of weights over the output."""

from __future__ import annotations

import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Operator


class ConvTranspose(Operator):
    """Weight (input channels, output channels of a group, taps by dimension …)."""

    name = "ConvTranspose"
    bias_input = 2
    stores_small = True
    result_axis = 1
    float_kernels = frozenset({"ConvTranspose"})

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return 1

    def input_axis(self, editor: GraphEditor, node: onnx.NodeProto) -> int:
        return 1

    def by_input(
        self,
        editor: GraphEditor,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        values: FloatArray | None,
    ) -> FloatArray | None:
        # Which taps of an input meet which output depends on the stride.
        return None

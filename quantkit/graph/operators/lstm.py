"""``LSTM``: four gates, and an integer kernel that finds its activations' ranges at run time."""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.recurrent import Recurrent
from quantkit.graph.plan import Compute


class LSTM(Recurrent):
    """Weights (directions, 4 · hidden, inputs) and (directions, 4 · hidden, hidden)."""

    name = "LSTM"
    gates = 4
    float_kernels = frozenset({"LSTM"})

    def reason_against_integers(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool
    ) -> str:
        if compute != "dynamic":
            return "ONNX Runtime's integer kernel for LSTM finds its ranges at run time only"
        if not all(editor.is_constant(node.input[slot.positions[0]]) for slot in self.slots):
            return "ONNX Runtime's integer kernel for LSTM needs both weights to be constant"
        return ""

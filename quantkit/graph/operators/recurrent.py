"""What ``LSTM`` and ``GRU`` have in common: a weight for the input and one for the state.

Gates see x_t Wᵀ + h_{t−1} Rᵀ + Wb + Rb (ONNX operator documentation). W is (directions, gates ·
hidden, inputs), R (directions, gates · hidden, hidden). Each row has a scale of its own, so both
are stored as matrices of (directions · gates · hidden) rows. The rows of all directions of W meet
the same x_t; those of R the state of their own direction, as the groups of a convolution do.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import onnx

from quantkit.arrays import FloatArray
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Operator, Slot
from quantkit.graph.operators.geometry import Geometry
from quantkit.graph.plan import Compute

_INITIAL_STATE = 5
_INPUT, _STATE = Slot((1,), "W", meets_input=True), Slot((2,), "R", has_bias=False)


class Recurrent(Operator):
    """A recurrent layer; its two weights are two layers, ``NODE.W`` and ``NODE.R``."""

    slots = (_INPUT, _STATE)
    bias_input = 3
    is_linear = False
    is_reordered = False
    ranges_per_clip = False
    # 2 to 5 times as fast as the float kernel: `python -m benchmarks.recurrent`.
    usual_compute = "dynamic"
    stores_small = True
    #: Gates whose weights lie one below the other.
    gates: ClassVar[int]

    def accepts(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return 0

    def channels(self, editor: GraphEditor, node: onnx.NodeProto, shape: tuple[int, ...]) -> int:
        return math.prod(shape[:-1])

    def rows(self, weight: FloatArray) -> FloatArray:
        return weight.reshape(-1, weight.shape[-1])

    def by_input(
        self,
        editor: GraphEditor,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        values: FloatArray | None,
    ) -> FloatArray | None:
        return None if values is None else values.reshape(1, -1)

    def geometry(self, editor: GraphEditor, node: onnx.NodeProto, slot: Slot) -> Geometry | None:
        weight = editor.array(node.input[slot.positions[0]])
        if weight is None or weight.ndim != 3 or self.reason_to_stay_plain(editor, node):
            return None
        if slot == _INPUT:
            value = str(node.input[0])
            return None if editor.is_constant(value) else Geometry(value, weight.shape[2])
        states = str(node.output[0]) if node.output else ""
        if not states:
            return None
        directions, _, hidden = weight.shape
        steps = {b"reverse": (-1,), b"bidirectional": (1, -1)}
        initial = editor.input_array(node, _INITIAL_STATE)
        given = len(node.input) > _INITIAL_STATE and bool(node.input[_INITIAL_STATE])
        return Geometry(
            states,
            hidden,
            groups=directions,
            steps=steps.get(editor.attributes(node).get("direction", b"forward"), (1,)),
            from_zero=not given or (initial is not None and not np.any(initial)),
            first=str(node.input[_INITIAL_STATE]) if given and initial is None else "",
        )

    def bias_place(
        self, editor: GraphEditor, node: onnx.NodeProto
    ) -> tuple[onnx.NodeProto, int] | None:
        # Its first half is added to W's products and its second to R's; neither is corrected.
        return None

    def reason_to_stay_plain(self, editor: GraphEditor, node: onnx.NodeProto) -> str:
        if editor.attributes(node).get("layout", 0):
            return "it has its batch first (layout 1), which ONNX Runtime does not run"
        return ""

    def reason_against_integers(
        self, editor: GraphEditor, node: onnx.NodeProto, compute: Compute, emulated: bool
    ) -> str:
        return f"ONNX Runtime has no integer kernel for {self.name}"

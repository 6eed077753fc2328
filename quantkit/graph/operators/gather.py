"""``Gather`` from a constant matrix: an embedding."""

from __future__ import annotations

import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.base import Operator, Slot


class Gather(Operator):
    """Weight (rows, numbers of a row); a channel is what one index looks up."""

    name = "Gather"
    slots = (Slot((0,)),)
    is_lookup = True
    stores_small = True
    float_kernels = frozenset({"Gather"})

    def accepts(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 2

    def channel_axis(self, editor: GraphEditor, node: onnx.NodeProto, rank: int) -> int:
        return int(editor.attributes(node).get("axis", 0)) % rank

    def reason_against_blocks(self, editor: GraphEditor, node: onnx.NodeProto) -> str:
        axis = editor.attributes(node).get("axis", 0)
        return "" if axis == 0 else "ONNX Runtime has a kernel for looking up rows only"

    def operations(self, shape: tuple[int, ...]) -> int:
        # A look-up costs nothing, however many weights there are.
        return 0

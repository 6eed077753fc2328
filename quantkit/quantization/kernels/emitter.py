"""Nodes and constants of one layer's kernel, named after the layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.opset import CONTRIBUTED


class Emitter:
    """Collects the nodes of one layer.

    Args:
        editor: of the graph that they are for; it gets the constants at once.
        name: of the layer.
    """

    def __init__(self, editor: GraphEditor, name: str) -> None:
        self.editor, self.name = editor, name
        self.nodes: list[onnx.NodeProto] = []
        self._parts = Counter[str]()

    def add(self, op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        """Append a standard operator; returns the name of its result."""
        return self._append(op, inputs, part, "", attributes)

    def contributed(self, op: str, inputs: list[str], part: str) -> str:
        """Append one of ONNX Runtime's own operators; without ``part`` it has the layer's name."""
        return self._append(op, inputs, part, CONTRIBUTED, {})

    def split(self, value: str, sizes: str, count: int, part: str, *, axis: int) -> list[str]:
        """Append a ``Split`` into ``count`` results; returns their names."""
        outputs = [self.editor.free_name(f"{self.name}.{part}{index}") for index in range(count)]
        name = f"{self.name}/{part}"
        self.nodes.append(helper.make_node("Split", [value, sizes], outputs, name, axis=axis))
        return outputs

    def constant(self, part: str, value: npt.NDArray[Any] | np.generic) -> str:
        """Store a constant; returns its name."""
        return self.editor.constant(f"{self.name}.{part}", value)

    def taps(self, value: str, taps: int, *, dilation: int = 1, stride: int = 1) -> str:
        """(batch, frames, channels) → (batch, positions, taps, channels), nothing padded."""
        shape = self.add("Shape", [value], "shape")
        one = self.constant("time_axis", np.array([1]))
        first_axis = self.constant("first_axis", np.int64(1))
        frames = self.add("Gather", [shape, first_axis], "frames", axis=0)
        reach = self.constant("reach", np.int64((taps - 1) * dilation))
        stop = self.add("Sub", [frames, reach], "last_start")
        zero = self.constant("zero", np.int64(0))
        step = self.constant("stride", np.int64(stride))
        starts = self.add("Range", [zero, stop, step], "starts")
        column = self.add("Unsqueeze", [starts, one], "start_column")
        offsets = self.constant("taps", np.arange(taps, dtype=np.int64) * dilation)
        indices = self.add("Add", [column, offsets], "indices")
        return self.add("Gather", [value, indices], "gathered", axis=1)

    def _append(
        self, op: str, inputs: list[str], part: str, domain: str, attributes: dict[str, Any]
    ) -> str:
        self._parts[part] += 1
        if self._parts[part] > 1:
            part += str(self._parts[part])
        output = self.editor.free_name(f"{self.name}.{part or 'product'}")
        name = f"{self.name}/{part}" if part else self.name
        node = helper.make_node(op, inputs, [output], name, domain=domain, **attributes)
        self.nodes.append(node)
        return output

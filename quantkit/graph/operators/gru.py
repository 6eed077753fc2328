"""``GRU``: three gates; ONNX Runtime computes it in float32 only."""

from __future__ import annotations

from quantkit.graph.operators.recurrent import Recurrent


class GRU(Recurrent):
    """Weights (directions, 3 · hidden, inputs) and (directions, 3 · hidden, hidden)."""

    name = "GRU"
    gates = 3
    float_kernels = frozenset({"GRU"})

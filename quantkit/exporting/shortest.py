"""Let a graph take batches whose longest clip is too short for its convolutions."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantkit.graph.layers import FRONTEND_PREFIX

_PADDED = f"{FRONTEND_PREFIX}padded"


def pad_to_shortest(model: onnx.ModelProto, window: int) -> None:
    """Put zeros behind ``waveform``, in place, wherever it has less than ``window`` samples."""
    graph = model.graph
    constants = {"no_pads": [0, 0, 0], "shortest": [window]}
    steps = [
        helper.make_node("Shape", ["waveform"], ["given"], start=1, end=2),
        helper.make_node("Max", ["given", "shortest"], ["wanted"]),
        helper.make_node("Sub", ["wanted", "given"], ["missing"]),
        helper.make_node("Concat", ["no_pads", "missing"], ["pads"], axis=0),
        helper.make_node("Pad", ["waveform", "pads"], ["padded"]),
    ]
    for node in graph.node:
        node.input[:] = [_PADDED if name == "waveform" else name for name in node.input]
    for node in steps:
        node.name = FRONTEND_PREFIX + node.output[0]
        for names in (node.input, node.output):
            names[:] = [n if n == "waveform" else FRONTEND_PREFIX + n for n in names]
    rest = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    del graph.node[:]
    graph.node.extend([*steps, *rest])
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), FRONTEND_PREFIX + name)
        for name, value in constants.items()
    )

"""A static convolution of few large groups as one convolution for each.

ONNX Runtime has a kernel for symmetric int8 weights that reads the windows where they lie and
rounds its sums at once (``MlasConvSym`` in its source, as of 1.32). It takes convolutions of one
group only, channels in fours; what has groups copies all windows of a group, multiplies matrices,
and rounds int32 sums afterwards. So the groups become convolutions of their own: their sums are the
same. The file still holds one weight, which is cut while the session loads.

The positional convolution of wav2vec 2.0 (16 groups of 48 channels, 128 taps) then takes seven
tenths of the time; measured by ``python -m benchmarks.channel_forms``.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from quantkit.graph.editor import GraphEditor
from quantkit.quantization.kernels.emitter import Emitter
from quantkit.quantization.kernels.qdq_convolution import (
    QdqConvolution,
    followed,
    put_in_place,
    qdq_convolutions,
    rounding_behind,
)

#: Of a group, from which it pays for the copies.
FEWEST_WEIGHTS = 1 << 14
# Of channels, for the kernel.
_ALIGNMENT = 4
_FEWEST_OUTPUTS = 16


def split_groups(editor: GraphEditor, layers: Collection[str]) -> None:
    """Replace those of ``layers`` that are in QDQ form and gain from it."""
    for convolution in qdq_convolutions(editor, layers):
        if convolution.groups > 1 and _pays(convolution):
            _split(editor, convolution)


def _pays(convolution: QdqConvolution) -> bool:
    outputs, inputs, *taps = convolution.shape
    per_group = outputs // convolution.groups
    return (
        inputs % _ALIGNMENT == 0
        and per_group % _ALIGNMENT == 0
        and per_group >= _FEWEST_OUTPUTS
        and per_group * inputs * math.prod(taps) >= FEWEST_WEIGHTS
    )


def _split(editor: GraphEditor, convolution: QdqConvolution) -> None:
    emitter = Emitter(editor, convolution.node.name)
    outputs, inputs = convolution.shape[:2]
    groups = convolution.groups
    per_group = outputs // groups
    axis = emitter.constant("axis", np.array([0]))
    sizes = emitter.constant("group_sizes", np.full(groups, inputs))
    parts = emitter.split(convolution.rounded, sizes, groups, "group_input", axis=1)
    rounding = rounding_behind(editor, convolution.node.output[0])
    rounded = []
    for group, part in enumerate(parts):
        bounds = [
            emitter.constant("start", np.array([group * per_group])),
            emitter.constant("stop", np.array([(group + 1) * per_group])),
            axis,
        ]

        def cut(value: str, fill: float = 0.0, bounds: list[str] = bounds) -> str:
            return emitter.add("Slice", [value, *bounds], "group_constant")

        name = f"group{group}" if group else ""
        result = convolution.emit(emitter, part, cut, cut, name)
        rounded.append(followed(emitter, result, rounding, f"rounded{group}"))
    emitter.add("Concat", rounded, "joined", axis=1)
    put_in_place(editor, convolution, rounding, emitter.nodes)

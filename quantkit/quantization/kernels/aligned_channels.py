"""Static convolutions with channels in fours.

ONNX Runtime has a kernel for symmetric int8 weights that reads the windows where they lie and
rounds its sums at once. It takes inputs and outputs in fours, in eights on some processors
(``MlasConvSym`` in its source, as of 1.32); any other convolution copies its windows, multiplies
matrices, and rounds int32 sums afterwards. So channels of zeros fill numbers such as 250 up. What
the other channels are does not change, and the file stays as large: weights are widened while the
session loads.

Rewrite rules, for a convolution in QDQ form of one group:

1. Its outputs are filled up with zeros where only such convolutions read them, through operators
   that treat all channels alike, and the inputs of these with them.
2. Other outputs are filled up and cut off again, and other inputs filled up at run time: bytes are
   copied, which costs one tap of one channel.

The full-width Wav2Letter gains a tenth of the time of its ninth layer and a quarter of that of the
eight before; measured by ``python -m benchmarks.channel_forms``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import onnx

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import lookups
from quantkit.graph.operators.sets import ACTIVATION_PARTS
from quantkit.graph.zero_mask import masks_positions
from quantkit.quantization.kernels.emitter import Emitter
from quantkit.quantization.kernels.qdq_convolution import (
    QdqConvolution,
    followed,
    put_in_place,
    qdq_convolutions,
    rounding_behind,
)

# The kernel's on some processors, and on all.
_NEEDED, _BEST = 4, 8
# Channels that are filled up are more than one in eight of no layer.
_LARGEST_SHARE = 8
# Where a shape of any rank might have its channels: axis 1, from the front or from the end.
_CHANNELS = (1, -1, -2, -3, -4)
_GRIDS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_ALIKE = ACTIVATION_PARTS | _GRIDS | {"Sub", "Clip", "LeakyRelu", "Identity", "Where"}


def align_channels(editor: GraphEditor, layers: Collection[str]) -> None:
    """Apply the rules above to ``layers``."""
    found = {each.node.name: each for each in qdq_convolutions(editor, layers) if each.groups == 1}
    free_outputs, free_inputs = set[str](), set[str]()
    for name, convolution in found.items():
        if _missing(convolution.shape[0]):
            readers = _readers(editor, convolution, found)
            if readers:
                free_outputs.add(name)
                free_inputs |= readers
    for name, convolution in found.items():
        outputs, inputs = convolution.shape[:2]
        # Of no use to the kernel unless both are in fours.
        useful = all(
            channels % _NEEDED == 0 or _missing(channels) for channels in (outputs, inputs)
        )
        widened = [
            _missing(outputs) if name in free_outputs or useful else 0,
            _missing(inputs) if name in free_inputs or useful else 0,
        ]
        if any(widened):
            _widen(
                editor,
                convolution,
                *widened,
                cut=name not in free_outputs,
                fill=name not in free_inputs,
            )


def _missing(channels: int) -> int:
    """How many channels are to be filled up."""
    missing = -channels % _BEST
    return missing if channels % _NEEDED and missing * _LARGEST_SHARE <= channels else 0


def _readers(
    editor: GraphEditor, convolution: QdqConvolution, known: Mapping[str, QdqConvolution]
) -> set[str]:
    """Names of the convolutions that read the result; empty if others do, too."""
    rank = len(convolution.shape)
    start = str(convolution.node.output[0])
    wide, pending = {start}, [start]
    passed: list[onnx.NodeProto] = []
    readers = set[str]()
    while pending:
        value = pending.pop()
        if value in editor.outputs:
            return set()
        for user in editor.consumers.get(value, []):
            if user.name in known and user.input[0] == value:
                readers.add(user.name)
            elif user.op_type in _ALIKE:
                passed.append(user)
                pending += [name for name in user.output if name not in wide]
                wide.update(user.output)
            elif not _measures_positions(editor, user):
                return set()
    return readers if all(_treats_alike(editor, node, wide, rank) for node in passed) else set()


def _measures_positions(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    """Whether ``node`` asks how large a value is, but not how many channels it has."""
    if node.op_type != "Shape":
        return False
    if editor.attributes(node).get("start", 0) > 1:
        return True
    sizes = str(node.output[0])
    chosen = [
        editor.array(user.input[1]) if user.op_type in lookups() else None
        for user in editor.consumers.get(sizes, [])
    ]
    known = all(each is not None and not np.isin(each, _CHANNELS).any() for each in chosen)
    return known and sizes not in editor.outputs


def _treats_alike(editor: GraphEditor, node: onnx.NodeProto, wide: set[str], rank: int) -> bool:
    operands = [str(name) for name in node.input if name]
    if node.op_type == "Where":
        if not masks_positions(editor, operands[0], rank):
            return False
        operands = operands[1:]
    return all(name in wide or _is_scalar(editor, name) for name in operands)


def _is_scalar(editor: GraphEditor, name: str) -> bool:
    shape = editor.shape(name)
    return shape is not None and math.prod(shape) == 1


def _widen(
    editor: GraphEditor,
    convolution: QdqConvolution,
    outputs: int,
    inputs: int,
    *,
    cut: bool,
    fill: bool,
) -> None:
    """Give a convolution more channels.

    Args:
        outputs, inputs: how many more.
        cut: whether its result is to have those that it has now.
        fill: whether its input has those that it has now.
    """
    emitter, rank = Emitter(editor, convolution.node.name), len(convolution.shape)

    def pad(value: str, amounts: list[int], zero: np.generic | str, part: str) -> str:
        widths = emitter.constant("widths", np.array([0] * len(amounts) + amounts))
        filler = zero if isinstance(zero, str) else emitter.constant("filler", zero)
        return emitter.add("Pad", [value, widths, filler], part)

    def widen(value: str, filler: float) -> str:
        if not outputs:
            return value
        kind = onnx.helper.tensor_dtype_to_np_dtype(editor.initializers[value].data_type)
        return pad(value, [outputs], kind.type(filler), "wide_constant")

    def widen_levels(value: str) -> str:
        return pad(value, [outputs, inputs, *[0] * (rank - 2)], np.int8(0), "wide_weight")

    rounding = rounding_behind(editor, convolution.node.output[0])
    rounded = convolution.rounded
    if inputs and fill:
        amounts = [0, inputs, *[0] * (rank - 2)]
        rounded = pad(rounded, amounts, convolution.zero_point, "wide_input")
    result = convolution.emit(emitter, rounded, widen, widen_levels, "")
    result = followed(emitter, result, rounding, "rounded")
    if outputs and cut:
        bounds = [
            emitter.constant("first", np.array([0])),
            emitter.constant("last", np.array([convolution.shape[0]])),
            emitter.constant("axis", np.array([1])),
        ]
        emitter.add("Slice", [result, *bounds], "narrow")
    put_in_place(editor, convolution, rounding, emitter.nodes)

"""A first convolution and the normalisation of its channels as one matrix product.

The first layer of wav2vec 2.0 turns every clip of samples into 512 channels, each of which
``InstanceNormalization`` scales to mean 0 and variance 1. The result is 50 times as large as the
waveform, and is read twice just for the means and variances. These follow from the samples: channel
c is ``w_c · x`` over windows x of a few samples, so its mean is ``w_c · E[x]`` and its variance
``w_cᵀ Cov(x) w_c`` with the small covariance matrix of the windows. The normalisation then is a
factor on the weights, and one matrix product computes the normalised channels, time first, as the
next integer layer needs them.

The covariances are computed in double precision: neighbouring samples of speech are so similar that
a high-pass filter would lose all digits of single precision.

Rewrite rule, for a ``Conv`` without padding and dilation on one input channel, whose result has no
other reader and, after an activation function, goes into a ``QuantizeLinear`` (a float convolution
would have to transpose it back, which costs what the rule saves):

1. ``InstanceNormalization(Conv(x, w, bias), γ, β)`` →
   ``Transpose(MatMul([windows − mean, 1], [wᵀ · γ / σ, β]))``, σ² = the channels' variance + ε. The
   bias cancels. The product of the covariance and wᵀ keeps the convolution's name, so that the
   layer stays in the graph.
2. ``Add(Mul(Conv(x, w), s), t)``, s and t (batch, channels, 1) computed at run time, as ``quantkit
   export`` normalises each clip of a padded batch, → ``Transpose(MatMul([windows, 1], [wᵀ · s,
   t]))``, a product with the convolution's name.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper

from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators.sets import ACTIVATION_PARTS
from quantkit.passes.match import only_consumer, remove_unused, runtime_column

# For larger windows the product over overlapping windows costs more than it saves.
_LONGEST_WINDOW = 16
_PASSED = ACTIVATION_PARTS | {"Transpose", "Identity"}
# ReduceMean takes its axes as an input from this opset on.
_LOWEST_OPSET = 18


def normalize_in_convolution(model: onnx.ModelProto) -> bool:
    """Apply the rule above in place; returns whether it did."""
    editor = GraphEditor(model)
    if editor.opset < _LOWEST_OPSET:
        return False
    found = False
    for node in [n for n in editor.nodes if n.op_type == "InstanceNormalization"]:
        convolution = editor.producers.get(node.input[0])
        if (
            convolution is not None
            and _fits(editor, convolution)
            and _is_quantized(editor, node.output[0])
        ):
            _Rewrite(editor, convolution, node).apply()
            found = True
    for node in [n for n in editor.nodes if n.op_type == "Conv"]:
        scaled = _scaled(editor, node)
        if scaled is not None and _fits(editor, node) and _is_quantized(editor, scaled.result):
            _Rewrite(editor, node, scaled.add).apply_scale(scaled.scale, scaled.shift)
            found = True
    if found:
        editor.finish()
    return found


class _Scaled(NamedTuple):
    """Values that scale and shift a convolution's channels, and the node that applies the shift."""

    scale: str
    shift: str
    add: onnx.NodeProto

    @property
    def result(self) -> str:
        return str(self.add.output[0])


def _scaled(editor: GraphEditor, convolution: onnx.NodeProto) -> _Scaled | None:
    if len(convolution.input) > 2:
        return None
    product = only_consumer(editor, convolution.output[0])
    if product is None or product.op_type != "Mul":
        return None
    total = only_consumer(editor, product.output[0])
    if total is None or total.op_type != "Add":
        return None
    scale = runtime_column(editor, product, convolution.output[0])
    shift = runtime_column(editor, total, product.output[0])
    return None if scale is None or shift is None else _Scaled(scale, shift, total)


def _fits(editor: GraphEditor, node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv" or only_consumer(editor, node.output[0]) is None:
        return False
    weight = editor.array(node.input[1])
    if weight is None or weight.dtype != np.float32 or weight.ndim != 3:
        return False
    attributes = editor.attributes(node)
    return (
        weight.shape[1] == 1
        and weight.shape[2] <= _LONGEST_WINDOW
        and attributes.get("group", 1) == 1
        and not any(attributes.get("pads", [0, 0]))
        and attributes.get("dilations", [1])[0] == 1
        and attributes.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
    )


def _is_quantized(editor: GraphEditor, value: str) -> bool:
    """Whether ``value`` is quantized after an activation function."""
    pending, seen = [value], set[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for user in editor.consumers.get(name, []):
            if user.op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
                return True
            if user.op_type in _PASSED:
                pending.extend(user.output)
    return False


class _Rewrite:
    """Rewrite of one convolution and the nodes after it, up to ``norm``."""

    def __init__(
        self, editor: GraphEditor, convolution: onnx.NodeProto, norm: onnx.NodeProto
    ) -> None:
        self.editor, self.convolution, self.norm = editor, convolution, norm
        self.nodes: list[onnx.NodeProto] = []

    def apply(self) -> None:
        weight = self.editor.array(self.convolution.input[1])
        if weight is None:  # checked by _fits
            return
        taps = self._constant("weight", weight[:, 0].T)
        time = self._constant("time_axis", np.array([1]))
        windows = self._windows(weight.shape[2], time)
        mean = self._add("ReduceMean", [windows, time], "mean", keepdims=1)
        centred = self._add("Sub", [windows, mean], "centred")
        factor = self._factor(centred, taps, time)
        per_clip = self._add("Shape", [factor], "factor_shape")
        shift = self._add("Expand", [self.norm.input[2], per_clip], "shift")
        self._multiply(centred, taps, factor, shift, f"{self.norm.name}/normalized")

    def apply_scale(self, scale: str, shift: str) -> None:
        weight = self.editor.array(self.convolution.input[1])
        if weight is None:  # checked by _fits
            return
        taps = self._constant("weight", weight[:, 0].T)
        windows = self._windows(weight.shape[2], self._constant("time_axis", np.array([1])))
        factor = self._add("Transpose", [scale], "scale_row", perm=[0, 2, 1])
        row = self._add("Transpose", [shift], "shift_row", perm=[0, 2, 1])
        self._multiply(windows, taps, factor, row, self.convolution.name)

    def _multiply(self, windows: str, taps: str, factor: str, shift: str, name: str) -> None:
        """``[windows, 1] · [taps · factor, shift]`` in place of the old nodes.

        The shift is an additional row of the weight, for an input that is always 1.
        """
        width = self._constant("one_more", np.array([0, 0, 0, 0, 0, 1]))
        one = self._constant("unit", np.float32(1.0))
        extended = self._add("Pad", [windows, width, one], "extended")
        scaled = self._add("Mul", [taps, factor], "scaled_weight")
        rows = self._add("Concat", [scaled, shift], "extended_weight", axis=1)
        product = self._add("MatMul", [extended, rows], "normalized")
        self.nodes[-1].name = name
        self._add("Transpose", [product], "channel_major", perm=[0, 2, 1])
        self.nodes[-1].output[0] = self.norm.output[0]
        sources = [self.editor.producers[v] for v in self.norm.input if v in self.editor.producers]
        self.editor.replace(self.norm, self.nodes)
        for source in sources:
            remove_unused(self.editor, source)

    def _windows(self, taps: int, time: str) -> str:
        """(batch, 1, samples) → (batch, frames, taps).

        Blocks of as many samples as the stride lie side by side, so that windows are copied as a
        whole. Gathered sample by sample, they took a twelfth of what the layer takes.
        """
        stride = int(self.editor.attributes(self.convolution).get("strides", [1])[0])
        blocks = -(-taps // stride)
        samples = self._add("Squeeze", [self.convolution.input[0], time], "samples")
        shape = self._add("Shape", [samples], "shape", start=1, end=2)
        rest = self._constant("rest", np.array([stride - taps]))
        step = self._constant("stride", np.array([stride]))
        count = self._add("Div", [self._add("Add", [shape, rest], "reach"), step], "whole_steps")
        zero = self._constant("zero", np.array([0]))
        # Division rounds towards zero.
        frames = self._add("Max", [count, zero], "window_count")
        more = self._constant("more_blocks", np.array([blocks - 1]))
        number = self._add("Add", [frames, more], "blocks")
        ends = self._constant("behind", np.array([0, 0, 0, blocks * stride]))
        padded = self._add("Pad", [samples, ends], "padded")
        length = self._add("Mul", [number, step], "length")
        whole = self._add("Slice", [padded, zero, length, time], "whole")
        sizes = self._add("Concat", [zero, number, step], "block_shape", axis=0)
        rows = self._add("Reshape", [whole, sizes], "rows")
        shifted = []
        for first in range(blocks):
            start = self._constant("first", np.array([first]))
            stop = self._add("Add", [frames, start], f"last{first}")
            shifted.append(self._add("Slice", [rows, start, stop, time], f"shifted{first}"))
        joined = self._add("Concat", shifted, "windows", axis=2)
        if blocks * stride == taps:
            return joined
        bounds = [
            zero,
            self._constant("taps", np.array([taps])),
            self._constant("two", np.array([2])),
        ]
        return self._add("Slice", [joined, *bounds], "cut_windows")

    def _factor(self, centred: str, taps: str, time: str) -> str:
        """γ / σ of every channel, (batch, 1, channels)."""
        exact = self._add("Cast", [centred], "exact", to=TensorProto.DOUBLE)
        exact_taps = self._add("Cast", [taps], "exact_weight", to=TensorProto.DOUBLE)
        # Einsum, because ONNX Runtime 1.20 fuses a transposition into a product of doubles, for
        # which it has no kernel.
        squares = self._add("Einsum", [exact, exact], "squares", equation="bti,btj->bij")
        projected = self.editor.free_name(f"{self.convolution.name}.projected")
        self.nodes.append(
            helper.make_node("MatMul", [squares, exact_taps], [projected], self.convolution.name)
        )
        energies = self._add("Mul", [projected, exact_taps], "energies")
        energy = self._add("ReduceSum", [energies, time], "energy", keepdims=1)
        shape = self._add("Shape", [centred], "windows_shape")
        one = self._constant("one", np.int64(1))
        frames = self._add("Gather", [shape, one], "frames", axis=0)
        count = self._add("Cast", [frames], "exact_frames", to=TensorProto.DOUBLE)
        variance = self._add("Div", [energy, count], "variance")
        epsilon = float(self.editor.attributes(self.norm).get("epsilon", 1e-5))
        floor = self._add("Add", [variance, self._constant("epsilon", np.float64(epsilon))], "safe")
        deviation = self._add("Sqrt", [floor], "exact_deviation")
        single = self._add("Cast", [deviation], "deviation", to=TensorProto.FLOAT)
        return self._add("Div", [self.norm.input[1], single], "factor")

    def _add(self, op: str, inputs: list[str], part: str, **attributes: Any) -> str:
        output = self.editor.free_name(f"{self.norm.name}.{part}")
        self.nodes.append(
            helper.make_node(op, inputs, [output], f"{self.norm.name}/{part}", **attributes)
        )
        return output

    def _constant(self, part: str, value: np.ndarray[Any, Any] | np.generic) -> str:
        return self.editor.constant(f"{self.norm.name}.{part}", value)

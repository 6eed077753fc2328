"""ONNX operators in PyTorch, with gradients: rounding has that of the identity.

Integers that activations are rounded to stay float tensors with whole numbers in them, so that
gradients pass (the straight-through estimator; Bengio, Léonard and Courville 2013).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from onnx import TensorProto, helper
from torch import Tensor
from torch.nn import functional

from quantkit.errors import ModelError
from quantkit.finetuning.recurrent import RECURRENT
from quantkit.graph.tensors import tensor_array

Attributes = Mapping[str, Any]
Values = Sequence[Tensor | None]
Implementation = Callable[[Attributes, Values], Tensor | tuple[Tensor, ...]]

_OPERATORS: dict[str, Implementation] = {**RECURRENT}


def known_operators() -> frozenset[str]:
    """Names of the operators that can be computed."""
    return frozenset(_OPERATORS)


def compute(op: str, attributes: Attributes, values: Values) -> tuple[Tensor, ...]:
    """The results of one node.

    Args:
        op: one of :func:`known_operators`.
        values: its inputs; None for those that are left out.
    """
    result = _OPERATORS[op](attributes, values)
    return result if isinstance(result, tuple) else (result,)


def round_through(values: Tensor) -> Tensor:
    """``values`` rounded to whole numbers, half to even, with the gradient of the identity."""
    return values + (torch.round(values) - values).detach()


def _operator(*names: str) -> Callable[[Implementation], Implementation]:
    def register(function: Implementation) -> Implementation:
        for name in names:
            _OPERATORS[name] = function
        return function

    return register


def _simple(names: Mapping[str, Callable[..., Tensor]]) -> None:
    """Operators that are one function of their inputs, without attributes."""

    def make(function: Callable[..., Tensor]) -> Implementation:
        return lambda attributes, values: function(*values)

    for name, function in names.items():
        _OPERATORS[name] = make(function)


_simple(
    {
        "Add": torch.add,
        "Sub": torch.sub,
        "Mul": torch.mul,
        "Pow": torch.pow,
        "MatMul": torch.matmul,
        "Relu": torch.relu,
        "Sigmoid": torch.sigmoid,
        "Tanh": torch.tanh,
        "Erf": torch.erf,
        "Exp": torch.exp,
        "Log": torch.log,
        "Sqrt": torch.sqrt,
        "Reciprocal": torch.reciprocal,
        "Abs": torch.abs,
        "Neg": torch.neg,
        "Floor": torch.floor,
        "Sin": torch.sin,
        "Asinh": torch.asinh,
        "Cos": torch.cos,
        "Not": torch.logical_not,
        "And": torch.logical_and,
        "Or": torch.logical_or,
        "Less": torch.lt,
        "LessOrEqual": torch.le,
        "Greater": torch.gt,
        "GreaterOrEqual": torch.ge,
        "Equal": torch.eq,
        "Where": torch.where,
        "Identity": lambda x: x,
        "Round": round_through,
        "IsNaN": torch.isnan,
    }
)


@_operator("Div")
def _div(attributes: Attributes, values: Values) -> Tensor:
    one, other = _given(values)
    if one.is_floating_point() or other.is_floating_point():
        return one / other
    return torch.div(one, other, rounding_mode="trunc")


@_operator("Max")
def _max(attributes: Attributes, values: Values) -> Tensor:
    return _folded(torch.maximum, values)


@_operator("Min")
def _min(attributes: Attributes, values: Values) -> Tensor:
    return _folded(torch.minimum, values)


@_operator("Sum")
def _sum(attributes: Attributes, values: Values) -> Tensor:
    return _folded(torch.add, values)


@_operator("Clip")
def _clip(attributes: Attributes, values: Values) -> Tensor:
    value, *bounds = values
    lowest, highest = (*bounds, None, None)[:2]
    return torch.clamp(cast(Tensor, value), min=lowest, max=highest)


@_operator("Cast")
def _cast(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    wanted = _torch_type(int(attributes["to"]))
    if value.is_floating_point() and not wanted.is_floating_point and value.requires_grad:
        # It stays a float tensor of whole numbers.
        return value + (torch.trunc(value) - value).detach()
    return value.to(wanted)


@_operator("DynamicQuantizeLinear")
def _dynamic_quantize(attributes: Attributes, values: Values) -> tuple[Tensor, ...]:
    (value,) = _given(values)
    known = value.detach()
    lowest, highest = known.amin().clamp(max=0.0), known.amax().clamp(min=0.0)
    scale = (highest - lowest) / 255.0
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    zero_point = torch.clamp(torch.round(-lowest / scale), 0.0, 255.0)
    steps = torch.clamp(round_through(value / scale) + zero_point, 0.0, 255.0)
    return steps, scale, zero_point


@_operator("DequantizeLinear")
def _dequantize(attributes: Attributes, values: Values) -> Tensor:
    steps, scale, *zero_point = _given(values)
    if scale.ndim == 1 and steps.ndim > 1:
        shape = [1] * steps.ndim
        shape[int(attributes.get("axis", 1))] = -1
        scale = scale.reshape(shape)
        zero_point = [each.reshape(shape) for each in zero_point]
    moved = steps - zero_point[0] if zero_point else steps
    return moved.to(scale.dtype) * scale


@_operator("Conv")
def _conv(attributes: Attributes, values: Values) -> Tensor:
    value, weight, *bias = values
    assert value is not None
    assert weight is not None
    rank = weight.ndim - 2
    pads = list(attributes.get("pads", [0] * 2 * rank))
    before, after = pads[:rank], pads[rank:]
    padding: Any = before
    if before != after:
        ends = [end for pair in zip(before[::-1], after[::-1], strict=True) for end in pair]
        value, padding = functional.pad(value, ends), 0
    convolve: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    result: Tensor = convolve(
        value,
        weight,
        bias[0] if bias else None,
        stride=list(attributes.get("strides", [1] * rank)),
        padding=padding,
        dilation=list(attributes.get("dilations", [1] * rank)),
        groups=int(attributes.get("group", 1)),
    )
    # What follows lays grids of 8 bits, which bfloat16 is too coarse for.
    return result.float()


@_operator("Gemm")
def _gemm(attributes: Attributes, values: Values) -> Tensor:
    one, other, *bias = _given(values)
    one = one.mT if attributes.get("transA", 0) else one
    other = other.mT if attributes.get("transB", 0) else other
    result = float(attributes.get("alpha", 1.0)) * (one @ other).float()
    return result + float(attributes.get("beta", 1.0)) * bias[0] if bias else result


@_operator("Softmax")
def _softmax(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    return torch.softmax(value.float(), int(attributes.get("axis", -1)))


@_operator("LogSoftmax")
def _log_softmax(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    return torch.log_softmax(value.float(), int(attributes.get("axis", -1)))


@_operator("Gelu")
def _gelu(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    return functional.gelu(value, approximate=_text(attributes.get("approximate", b"none")))


@_operator("LeakyRelu")
def _leaky_relu(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    return functional.leaky_relu(value, float(attributes.get("alpha", 0.01)))


@_operator("LayerNormalization")
def _layer_norm(attributes: Attributes, values: Values) -> Tensor:
    value, gain, *bias = _given(values)
    axis = int(attributes.get("axis", -1)) % value.ndim
    shape = value.shape[axis:]
    return functional.layer_norm(
        value.float(), shape, gain, bias[0] if bias else None, attributes.get("epsilon", 1e-5)
    )


@_operator("InstanceNormalization")
def _instance_norm(attributes: Attributes, values: Values) -> Tensor:
    value, gain, bias = _given(values)
    epsilon = float(attributes.get("epsilon", 1e-5))
    return functional.instance_norm(value.float(), weight=gain, bias=bias, eps=epsilon)


@_operator("ReduceMean")
def _reduce_mean(attributes: Attributes, values: Values) -> Tensor:
    return _reduced(torch.mean, attributes, values)


@_operator("ReduceSum")
def _reduce_sum(attributes: Attributes, values: Values) -> Tensor:
    return _reduced(torch.sum, attributes, values)


@_operator("ReduceMax")
def _reduce_max(attributes: Attributes, values: Values) -> Tensor:
    return _reduced(torch.amax, attributes, values)


@_operator("ReduceMin")
def _reduce_min(attributes: Attributes, values: Values) -> Tensor:
    return _reduced(torch.amin, attributes, values)


@_operator("Transpose")
def _transpose(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    return value.permute(list(attributes.get("perm", range(value.ndim)[::-1])))


@_operator("Reshape")
def _reshape(attributes: Attributes, values: Values) -> Tensor:
    value, shape = _given(values)
    sizes = shape.tolist()
    if not attributes.get("allowzero", 0):
        sizes = [value.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return value.reshape(sizes)


@_operator("Flatten")
def _flatten(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    axis = int(attributes.get("axis", 1))
    return value.reshape(math.prod(value.shape[:axis]), -1)


@_operator("Squeeze")
def _squeeze(attributes: Attributes, values: Values) -> Tensor:
    value, *axes = _given(values)
    return value.squeeze(tuple(axes[0].tolist())) if axes else value.squeeze()


@_operator("Unsqueeze")
def _unsqueeze(attributes: Attributes, values: Values) -> Tensor:
    value, axes = _given(values)
    rank = value.ndim + axes.numel()
    for axis in sorted(each % rank for each in axes.reshape(-1).tolist()):
        value = value.unsqueeze(axis)
    return value


@_operator("Expand")
def _expand(attributes: Attributes, values: Values) -> Tensor:
    value, shape = _given(values)
    return value.expand(torch.broadcast_shapes(value.shape, tuple(shape.tolist())))


@_operator("Concat")
def _concat(attributes: Attributes, values: Values) -> Tensor:
    return torch.cat(_given(values), int(attributes["axis"]))


@_operator("Split")
def _split(attributes: Attributes, values: Values) -> tuple[Tensor, ...]:
    value, *sizes = _given(values)
    axis = int(attributes.get("axis", 0))
    if sizes:
        return tuple(value.split(sizes[0].tolist(), axis))
    return tuple(value.chunk(int(attributes["num_outputs"]), axis))


@_operator("Slice")
def _slice(attributes: Attributes, values: Values) -> Tensor:
    value, starts, ends, *rest = values
    assert value is not None
    assert starts is not None
    assert ends is not None
    axes = rest[0].tolist() if rest and rest[0] is not None else list(range(starts.numel()))
    steps = rest[1].tolist() if len(rest) > 1 and rest[1] is not None else [1] * len(axes)
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps, strict=True):
        places = range(value.shape[axis])[slice(start, _bound(end, step), step)]
        if step == 1:
            value = value.narrow(axis, places.start, len(places))
        else:
            value = value.index_select(axis, torch.tensor(places, dtype=torch.int64))
    return value


@_operator("Gather")
def _gather(attributes: Attributes, values: Values) -> Tensor:
    value, index = _given(values)
    axis = int(attributes.get("axis", 0)) % value.ndim
    index = torch.where(index < 0, index + value.shape[axis], index).long()
    found = value.index_select(axis, index.reshape(-1))
    return found.reshape(*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])


@_operator("Pad")
def _pad(attributes: Attributes, values: Values) -> Tensor:
    value, pads, *rest = values
    assert value is not None
    assert pads is not None
    fill = rest[0].item() if rest and rest[0] is not None else 0.0
    axes = rest[1].tolist() if len(rest) > 1 and rest[1] is not None else range(value.ndim)
    given = pads.tolist()
    ends = [[0, 0] for _ in range(value.ndim)]
    for place, axis in enumerate(axes):
        ends[axis] = [given[place], given[place + len(given) // 2]]
    flat = [end for pair in reversed(ends) for end in pair]
    mode = _text(attributes.get("mode", b"constant"))
    if mode != "constant":
        raise ModelError(
            f"finetuning computes padding with a constant, and the model pads by {mode}"
        )
    return functional.pad(value, flat, value=fill)


@_operator("Range")
def _range(attributes: Attributes, values: Values) -> Tensor:
    start, stop, step = _given(values)
    return torch.arange(start.item(), stop.item(), step.item(), dtype=start.dtype)


@_operator("Shape")
def _shape(attributes: Attributes, values: Values) -> Tensor:
    (value,) = _given(values)
    end = attributes.get("end")
    return torch.tensor(list(value.shape)[int(attributes.get("start", 0)) : end])


@_operator("ConstantOfShape")
def _constant_of_shape(attributes: Attributes, values: Values) -> Tensor:
    (shape,) = _given(values)
    fill = attributes.get("value")
    content = torch.zeros(1) if fill is None else torch.from_numpy(to_array(fill))
    return content.reshape(()).expand(shape.tolist()).clone()


@_operator("Constant")
def _constant(attributes: Attributes, values: Values) -> Tensor:
    return torch.from_numpy(to_array(attributes["value"]))


@_operator("CumSum")
def _cumsum(attributes: Attributes, values: Values) -> Tensor:
    value, axis = _given(values)
    return torch.cumsum(value, int(axis.item()))


def to_array(tensor: TensorProto) -> np.ndarray[Any, Any]:
    """The content of a tensor, for PyTorch to own."""
    return np.array(tensor_array(tensor))


def _given(values: Values) -> list[Tensor]:
    return [value for value in values if value is not None]


def _folded(function: Callable[[Tensor, Tensor], Tensor], values: Values) -> Tensor:
    first, *others = _given(values)
    for other in others:
        first = function(first, other)
    return first


def _reduced(function: Any, attributes: Attributes, values: Values) -> Tensor:
    value, *axes = _given(values)
    keep = bool(attributes.get("keepdims", 1))
    all_axes = attributes.get("axes", range(value.ndim))
    chosen = tuple(axes[0].tolist() if axes else all_axes)
    return cast(Tensor, function(value, dim=chosen, keepdim=keep))


def _bound(end: int, step: int) -> int | None:
    """The end of a slice; backwards beyond the first element is none."""
    return None if step < 0 and end < -(1 << 30) else end


def _torch_type(data_type: int) -> torch.dtype:
    array = np.zeros(1, helper.tensor_dtype_to_np_dtype(data_type))
    return torch.from_numpy(array).dtype


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

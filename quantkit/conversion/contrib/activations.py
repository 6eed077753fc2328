"""Activation functions of ONNX Runtime's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from quantkit.conversion.contrib.builder import Parts, Unclear

# Of the names of activations that are fused into products, the attributes that their numbers are.
_PARAMETERS = {
    "Relu": (),
    "Tanh": (),
    "Sigmoid": (),
    "LeakyRelu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
}


def add_activation(
    parts: Parts, name: str, numbers: Sequence[float], value: str, output: str
) -> None:
    """Append the activation that a fused product ends with.

    Args:
        name: of the standard operator.
        numbers: in the order of its attributes; of ``Clip``, its limits.
    """
    if name == "Clip" and len(numbers) == 2:
        parts.add("Clip", [value, *(parts.scalar(number) for number in numbers)], output)
        return
    if name not in _PARAMETERS or len(numbers) < len(_PARAMETERS[name]):
        raise Unclear(f"its activation {name} is not known")
    attributes: dict[str, Any] = dict(zip(_PARAMETERS[name], map(float, numbers), strict=False))
    parts.add(name, [value], output, **attributes)


def add_gelu(parts: Parts, value: str, output: str) -> None:
    """x · (1 + erf(x / √2)) / 2, in the nodes that exporters write."""
    scaled = parts.add("Div", [value, parts.scalar(math.sqrt(2))])
    shifted = parts.add("Add", [parts.add("Erf", [scaled]), parts.scalar(1)])
    parts.add("Mul", [parts.add("Mul", [value, shifted]), parts.scalar(0.5)], output)


def gelu(parts: Parts) -> None:
    """``Gelu``."""
    parts.require_only((), 1, 1)
    add_gelu(parts, parts.input(0), parts.output(0))


def bias_gelu(parts: Parts) -> None:
    """``BiasGelu``: of a sum."""
    parts.require_only((), 2, 1)
    add_gelu(parts, parts.add("Add", [parts.input(0), parts.input(1)]), parts.output(0))


def fast_gelu(parts: Parts) -> None:
    """``FastGelu``: x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, perhaps of a sum with a bias."""
    parts.require_only((), 2, 1)
    value = parts.input(0)
    if parts.input(1):
        value = parts.add("Add", [value, parts.input(1)])
    cube = parts.add("Mul", [parts.add("Mul", [value, value]), value])
    inner = parts.add("Add", [value, parts.add("Mul", [cube, parts.scalar(0.044715)])])
    bent = parts.add("Tanh", [parts.add("Mul", [inner, parts.scalar(math.sqrt(2 / math.pi))])])
    half = parts.add("Mul", [value, parts.scalar(0.5)])
    parts.add("Mul", [half, parts.add("Add", [bent, parts.scalar(1)])], parts.output(0))


def quick_gelu(parts: Parts) -> None:
    """``QuickGelu``: x · sigmoid(α x); with α = 1 it is SiLU."""
    parts.require_only(("alpha",), 1, 1)
    value, alpha = parts.input(0), parts.attributes.get("alpha", 1.702)
    scaled = value if np.float32(alpha) == 1 else parts.add("Mul", [value, parts.scalar(alpha)])
    parts.add("Mul", [value, parts.add("Sigmoid", [scaled])], parts.output(0))

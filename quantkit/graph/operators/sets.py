"""Families of standard operators that rewriting treats alike."""

from __future__ import annotations

#: Move values about, but make no new ones.
VALUE_PRESERVING = frozenset(
    {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"}
)

#: What activation functions are made of: ReLU, sigmoid, SiLU and GELU, whole or spelled out.
ACTIVATION_PARTS = frozenset({"Relu", "Add", "Mul", "Div", "Erf", "Gelu", "Sigmoid", "Tanh"})

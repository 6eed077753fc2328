"""How far the output of a layer moves when its input and its weight are rounded.

All is measured on some rows of input, without labels and without back-propagation, in two ways:

- ``cosine``: one minus the cosine of the angle between the float and the rounded output (Wu et
  al. 2020, "EasyQuant: Post-training Quantization via Scale Optimization", equations 3 to 5).
- ``hessian``: the squared error of the output. Its Hessian is E[x xᵀ] for the weights of a
  channel and WᵀW for an input, so this is Δw E[x xᵀ] Δwᵀ, and E[Δxᵀ WᵀW Δx]. Yuan et al. 2022,
  "PTQ4ViT", equation 6, weigh the outputs by the loss's gradients; without labels all count the
  same.

Each has a form per channel, for a channel's own weights, and one over the whole output, for what
all channels share.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np

from quantkit.arrays import Doubles, FloatArray


class OutputError(Protocol):
    """A distance between outputs, (groups, rows, channels) each; 0 where they are equal."""

    def per_channel(self, true: FloatArray, rounded: FloatArray) -> Doubles:
        """(groups, channels)."""

    def whole(self, true: FloatArray, rounded: FloatArray) -> float:
        """Relative to the magnitude of ``true``, so that those of several layers can be added."""


class Cosine:
    """One minus the cosine similarity; 1 against an output of zeros."""

    def per_channel(self, true: FloatArray, rounded: FloatArray) -> Doubles:
        return _one_minus_cosine(
            _sums(true * rounded), _sums(true * true), _sums(rounded * rounded)
        )

    def whole(self, true: FloatArray, rounded: FloatArray) -> float:
        products = (true * rounded, true * true, rounded * rounded)
        return float(_one_minus_cosine(*(_sums(each).sum() for each in products)))


class Hessian:
    """The squared error."""

    def per_channel(self, true: FloatArray, rounded: FloatArray) -> Doubles:
        return _sums(np.square(rounded - true))

    def whole(self, true: FloatArray, rounded: FloatArray) -> float:
        energy = float(_sums(true * true).sum())
        return float(_sums(np.square(rounded - true)).sum()) / (energy if energy > 0 else 1.0)


#: By the name of the range.
OUTPUT_ERRORS: Mapping[str, OutputError] = MappingProxyType(
    {"cosine": Cosine(), "hessian": Hessian()}
)


def _sums(values: FloatArray) -> Doubles:
    """(groups, rows, channels) → (groups, channels)."""
    sums: Doubles = values.sum(axis=1, dtype=np.float64)
    return sums


def _one_minus_cosine(product: Doubles, true: Doubles, rounded: Doubles) -> Doubles:
    norms = np.sqrt(true * rounded)
    both_zero = (true == 0) & (rounded == 0)
    cosine = np.where(both_zero, 1.0, product / np.where(norms > 0, norms, 1.0))
    return np.asarray(1.0 - cosine)

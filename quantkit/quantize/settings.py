"""What to do with which layer: settings, and how patterns pick layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from quantkit.errors import InputError
from quantkit.graph.layers import Layer
from quantkit.graph.plan import Compute

RangeMethod = Literal["min-max", "percentile"]
DynamicRange = Literal["per-batch", "per-clip"]

_COMPUTES = ("float32", "dynamic", "static")
_RANGES = ("min-max", "percentile")
_DYNAMIC_RANGES = ("per-batch", "per-clip")
_INDEX = re.compile(r"[+-]?\d+")


@dataclass(frozen=True)
class QuantizeSettings:
    """How a float model is quantized.

    >>> settings = QuantizeSettings(compute="static", exclude=("1", "-1"))

    Args:
        name: for the metadata and messages.
        compute: of every layer that nothing below says otherwise about.
        operators: compute per operator, such as ``{"MatMul": "dynamic"}``.
        exclude: layers that stay float32; see :func:`match_layers` for the patterns.
        range: how static activation ranges are chosen from calibration clips.
        percentile: share of activations, in per cent, that a ``percentile`` range covers.
        dynamic_range: whether a dynamic range is found over the whole padded batch, as ONNX
            Runtime's ``DynamicQuantizeLinear`` does it, or for each clip on its own, whatever its
            batch mates hold. A clip's own padding counts, where the model does not zero it.

    Raises:
        InputError: a value that is not one of the listed ones.
    """

    name: str = "custom"
    compute: Compute = "static"
    operators: Mapping[str, Compute] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    range: RangeMethod = "min-max"
    percentile: float = 99.99
    dynamic_range: DynamicRange = "per-batch"

    def __post_init__(self) -> None:
        for value in (self.compute, *self.operators.values()):
            _one_of("compute", value, _COMPUTES)
        _one_of("range", self.range, _RANGES)
        _one_of("dynamic range", self.dynamic_range, _DYNAMIC_RANGES)
        if not 50.0 < self.percentile <= 100.0:
            raise InputError(
                f"percentile must be above 50 and at most 100, not {self.percentile:g}"
            )

    def assign(self, layers: Sequence[Layer]) -> dict[str, Compute]:
        """The compute that is asked for, by layer name.

        Raises:
            InputError: an exclusion pattern that matches no layer.
        """
        excluded = match_layers(self.exclude, layers)
        return {
            layer.name: "float32"
            if layer.name in excluded
            else self.operators.get(layer.op, self.compute)
            for layer in layers
        }

    @property
    def range_label(self) -> str:
        """How plans name the static range, such as ``percentile 99.99``."""
        if self.range == "percentile":
            return f"percentile {self.percentile:g}"
        return self.range


def match_layers(patterns: Sequence[str], layers: Sequence[Layer]) -> set[str]:
    """Names of the layers that any pattern picks.

    A pattern is a layer's name (``layer1.conv``), a glob (``layer[2-8].*``), a position
    (``1`` is the first layer, ``-1`` the last) or an operator (``Conv``).

    Raises:
        InputError: a pattern picks nothing; the message names it and what there is.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = {layer.name for layer in layers if _matches(pattern, layer, len(layers))}
        if not found:
            names = ", ".join(layer.name for layer in layers[:4]) or "none"
            more = f", … ({len(layers)} in all)" if len(layers) > 4 else ""
            raise InputError(
                f"exclusion {pattern!r} matches no layer; give a name, a glob, an operator, or a "
                f"position from 1 to {len(layers)} or -1 to -{len(layers)}; layers: {names}{more}"
            )
        chosen |= found
    return chosen


def _matches(pattern: str, layer: Layer, count: int) -> bool:
    if layer.name == pattern or layer.op == pattern:
        return True
    if _INDEX.fullmatch(pattern):
        position = int(pattern)
        return layer.index == (position - 1 if position > 0 else count + position) and position != 0
    return fnmatchcase(layer.name, pattern)


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"unknown {what} {value!r}; choose one of {', '.join(choices)}")

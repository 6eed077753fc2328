"""Layers in the order of a metric of the sensitivity table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from quantkit.errors import InputError
from quantkit.sensitivity.table import Sensitivity

#: ``ascending``: layers with small values lose bits first, as in the myQASR paper;
#: ``descending``: layers with large ones, as its released code does by default.
Direction = Literal["ascending", "descending"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

#: What myQASR orders by: the median of a layer's outputs.
MEDIAN = "median"


def metric_values(
    sensitivity: Sensitivity | None, model_sha256: str, layers: Sequence[str], metric: str
) -> dict[str, float]:
    """The metric of each of ``layers``.

    Raises:
        InputError: there is no table, or it has no finite value of the metric for a layer.
        FormatError: the table is for another model.
    """
    if sensitivity is None:
        raise InputError(
            "this method needs a sensitivity table: make one with `quantkit analyze MODEL "
            "--audio DIR`"
        )
    sensitivity.require_model(model_sha256)
    values = {}
    for name in layers:
        metrics = sensitivity.layer(name).metrics
        if metric not in metrics:
            known = ", ".join(sorted(metrics)) or "none"
            raise InputError(
                f"the sensitivity table has no metric {metric!r} for layer {name}; it has: {known}"
            )
        if not math.isfinite(metrics[metric]):
            raise InputError(
                f"layer {name}: its {metric} is {metrics[metric]}; order by another metric"
            )
        values[name] = metrics[metric]
    return values


def ranking(values: dict[str, float], direction: Direction) -> list[str]:
    """Layers in the order in which they lose bits; ties in graph order, or its reverse.

    >>> ranking({"a": 0.2, "b": 0.1}, "ascending")
    ['b', 'a']

    Raises:
        InputError: an unknown direction.
    """
    check_direction(direction)
    order = sorted(values, key=values.__getitem__)
    return order if direction == "ascending" else order[::-1]


def check_direction(direction: str) -> None:
    """Check ``direction``.

    Raises:
        InputError: an unknown direction.
    """
    if direction not in DIRECTIONS:
        raise InputError(f"unknown direction {direction!r}; choose one of {', '.join(DIRECTIONS)}")

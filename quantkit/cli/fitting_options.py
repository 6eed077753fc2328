"""Options that say how the numbers of a quantized file are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import click

from quantkit.cli.framework import is_given
from quantkit.quantization.choices.fitting import (
    ROUNDINGS,
    WEIGHT_RANGES,
    Fitting,
    Rounding,
    WeightRange,
)

F = TypeVar("F", bound=Callable[..., Any])

_USUAL = Fitting()

_OPTIONS = [
    click.option(
        "--rounding",
        type=click.Choice(ROUNDINGS),
        default=_USUAL.rounding,
        show_default=True,
        help="How weights of fewer than 8 bits are rounded: each to its nearest level, or so that "
        "later weights make good the errors of earlier ones.",
    ),
    click.option(
        "--weight-range",
        type=click.Choice(WEIGHT_RANGES),
        default=_USUAL.weight_range,
        show_default=True,
        help="How the steps of evenly spaced levels are found.",
    ),
    click.option(
        "--bias-correction/--no-bias-correction",
        default=_USUAL.bias_correction,
        show_default=True,
        help="Let biases take up what the errors of weights of fewer than 8 bits add on average.",
    ),
    click.option(
        "--equalization/--no-equalization",
        default=_USUAL.equalization,
        show_default=True,
        help="Spread the ranges of neighbouring layers evenly over their channels first.",
    ),
    click.option(
        "--smoothing",
        type=click.FloatRange(0.0, 1.0),
        default=_USUAL.smoothing,
        show_default=True,
        metavar="ALPHA",
        help="Move outliers of activations into weights first, as SmoothQuant does; 0: don't.",
    ),
    click.option(
        "--balance",
        multiple=True,
        metavar="LAYER",
        help="Divide the input of LAYER, a matrix product, channel by channel by numbers that its "
        "weights are multiplied by, where outliers have nowhere else to go; may be repeated.",
    ),
]
_NAMES = ("rounding", "weight_range", "bias_correction", "equalization", "smoothing", "balance")


def fitting_options(function: F) -> F:
    """Add the options; :func:`pop_fitting` takes their values out again."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def pop_fitting(options: dict[str, Any]) -> Fitting:
    """What the options say, removed from ``options``."""
    return Fitting(
        rounding=cast(Rounding, options.pop("rounding")),
        weight_range=cast(WeightRange, options.pop("weight_range")),
        bias_correction=options.pop("bias_correction"),
        equalization=options.pop("equalization"),
        smoothing=options.pop("smoothing"),
        balance=tuple(dict.fromkeys(options.pop("balance"))),
    )


def fitting_given() -> bool:
    """Whether one of the options was given to the current command."""
    return any(map(is_given, _NAMES))

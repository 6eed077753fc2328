"""Options that say how the numbers of a quantized file are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import click

from quantkit.cli.framework import is_given
from quantkit.cli.option_groups import option_group
from quantkit.quantization.choices.ptq import (
    ROUNDINGS,
    WEIGHT_RANGES,
    PtqSettings,
    Rounding,
    WeightRange,
)
from quantkit.quantization.choices.target_cpu import TARGET_CPUS, TargetCpu

F = TypeVar("F", bound=Callable[..., Any])

_USUAL = PtqSettings()

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
        "--target-cpu",
        type=click.Choice(TARGET_CPUS),
        default=_USUAL.target_cpu,
        show_default=True,
        help="The processors that the file must be right on: x86 with AVX2 or AVX-512 and without "
        "VNNI, x86 with VNNI, 64-bit ARM, or any of them. For avx2 and any, weights of integer "
        "layers keep within ±64, so that no sum of products overflows.",
    ),
    click.option(
        "--balance",
        multiple=True,
        metavar="LAYER",
        help="Divide the input of LAYER, a matrix product, channel by channel by numbers that its "
        "weights are multiplied by, where outliers have nowhere else to go; may be repeated.",
    ),
]


@dataclass(frozen=True)
class FittingOptions:
    """Values of the options above."""

    rounding: Rounding
    weight_range: WeightRange
    bias_correction: bool
    equalization: bool
    smoothing: float
    target_cpu: TargetCpu
    balance: tuple[str, ...]

    @property
    def fitting(self) -> PtqSettings:
        """What they say."""
        return PtqSettings(
            rounding=self.rounding,
            weight_range=self.weight_range,
            bias_correction=self.bias_correction,
            equalization=self.equalization,
            smoothing=self.smoothing,
            target_cpu=self.target_cpu,
            balance=tuple(dict.fromkeys(self.balance)),
        )


def fitting_options(function: F) -> F:
    """Add the options; the command receives ``fitting``, a :class:`FittingOptions`."""
    return option_group(FittingOptions, "fitting", _OPTIONS)(function)


def fitting_changes(options: FittingOptions) -> dict[str, Any]:
    """What was given to the current command, by name: a plan says the rest itself."""
    said = {field.name: getattr(options.fitting, field.name) for field in fields(FittingOptions)}
    return {name: value for name, value in said.items() if is_given(name)}

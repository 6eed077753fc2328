"""Options that say what layers become, for the commands that plan or quantize."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import click

from quantkit.cli.framework import is_given
from quantkit.cli.option_groups import option_group
from quantkit.codecs.catalogue import NAMES, CodecChoice
from quantkit.graph.plan import COMPUTES, Compute
from quantkit.planning.input_kernels import LEAST_LIMIT, SHARE
from quantkit.quantization.choices.presets import DESCRIPTIONS, PRESETS
from quantkit.quantization.choices.settings import (
    RANGES,
    LayerRule,
    QuantizeSettings,
    RangeMethod,
)
from quantkit.quantization.choices.structure_rules import ChannelRule, RankRule

F = TypeVar("F", bound=Callable[..., Any])

_PRESET_HELP = "; ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items())

_OPTIONS = [
    click.option(
        "--compute",
        type=click.Choice(COMPUTES),
        help="Instead of a preset: the kernel of every layer without a setting of its own.",
    ),
    click.option(
        "--codec",
        metavar="CODEC:BITS",
        help=f"How weights are stored, such as bitplane:4 or grouped:3,group_size=16; one of "
        f"{', '.join(NAMES)}.  [default: int8, float32 in float layers]",
    ),
    click.option(
        "--activation-bits",
        type=click.IntRange(1, 16),
        help="Bits of the grids that integer layers round their input to: 1 to 8, or 16 (at the "
        "speed of float32).  [default: 8]",
    ),
    click.option(
        "--layer",
        "rules",
        multiple=True,
        metavar="PATTERN=CODEC@COMPUTE/BITS",
        help="An exception for the layers that PATTERN picks, such as layer9.*=grouped:3@static "
        "or 1=@dynamic/6: codec, compute and activation bits, each may be left out. May be "
        "repeated; a later one wins.",
    ),
    click.option(
        "--rank",
        "ranks",
        multiple=True,
        metavar="PATTERN=[INPUT_RANK:]RANK",
        help="Two smaller layers in place of each that PATTERN picks, with RANK channels between "
        "them: a number, or a share of the most that there can be, such as layer9.conv=96 or "
        "Conv=1/2; and one more before them, which makes INPUT_RANK channels of the inputs. May be "
        "repeated; a later one wins. Needs --audio.",
    ),
    click.option(
        "--channels",
        multiple=True,
        metavar="PATTERN=CHANNELS",
        help="Of each layer that PATTERN picks, only the channels that the layer behind it needs "
        "most: a number, or a share, such as layer8.conv=144 or *.fc1=3/4. That layer makes up for "
        "the others. May be repeated; a later one wins. Needs --audio.",
    ),
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Layers that stay float32: a name, a glob, a position (1 is the first, -1 the last) "
        "or an operator. May be repeated.",
    ),
    click.option(
        "--range",
        "range_method",
        type=click.Choice(RANGES),
        default="min-max",
        show_default=True,
        help="How static activation ranges are chosen: by the extremes, by a share of the values, "
        "by the information that the grid keeps, or by what the layers' outputs make of them.",
    ),
    click.option(
        "--percentile",
        type=click.FloatRange(min=50, max=100, min_open=True),
        default=99.99,
        show_default=True,
        help="Per cent of the activations that a percentile range covers.",
    ),
    click.option(
        "--target-runtime",
        default="",
        metavar="VERSION",
        help="The oldest ONNX Runtime that must load the file, such as 1.17.",
    ),
]


@dataclass(frozen=True)
class LayerOptions:
    """Values of the options above."""

    compute: Compute | None
    codec: str | None
    activation_bits: int | None
    rules: tuple[str, ...]
    ranks: tuple[str, ...]
    channels: tuple[str, ...]
    exclude: tuple[str, ...]
    range_method: RangeMethod
    percentile: float
    target_runtime: str

    def adjusted(self, settings: QuantizeSettings) -> QuantizeSettings:
        """``settings`` with what the options say beyond them.

        Raises:
            InputError: an option's value that makes no sense.
        """
        return replace(
            settings,
            compute=self.compute or settings.compute,
            codec=CodecChoice.parse(self.codec) if self.codec else settings.codec,
            activation_bits=self.activation_bits or settings.activation_bits,
            rules=(*settings.rules, *map(LayerRule.parse, self.rules)),
            ranks=(*settings.ranks, *map(RankRule.parse, self.ranks)),
            channels=(*settings.channels, *map(ChannelRule.parse, self.channels)),
            exclude=settings.exclude + self.exclude,
            range=self.range_method,
            percentile=self.percentile,
            target_runtime=self.target_runtime,
        )


def preset_option(*more: str) -> Callable[[F], F]:
    """``--preset``, with ``more`` names beside those of the presets."""
    return click.option(
        "--preset",
        type=click.Choice([*PRESETS, *more]),
        metavar="NAME",
        help=f"Settings with a name. {_PRESET_HELP}" + ("; all: each of them." if more else "."),
    )


def max_input_divergence_option(prefix: str = "") -> Callable[[F], F]:
    """``--max-input-divergence``; its help begins with ``prefix``."""
    return click.option(
        "--max-input-divergence",
        type=click.FloatRange(min=0),
        metavar="NATS",
        help=f"{prefix}What integer inputs of layers may cost together. Where they cost more, "
        "layers without a --layer of their own get a range for each clip, or a float32 product; "
        "inf: none does. Their weights are stored in few bits all the same.  [default: "
        f"{SHARE:.0%} of what the weights cost, at least {LEAST_LIMIT:g}]",
    )


def layer_options(function: F) -> F:
    """Add the options; the command receives ``layers``, a :class:`LayerOptions`."""
    return option_group(LayerOptions, "layers", _OPTIONS)(function)


def refuse_layer_options(reason: str) -> None:
    """Raise when one of the options was given to the current command.

    Raises:
        click.UsageError: naming the option, with ``reason``.
    """
    context = click.get_current_context()
    names = {field.name for field in fields(LayerOptions)}
    for parameter in context.command.params:
        if parameter.name in names and is_given(parameter.name):
            raise click.UsageError(f"{parameter.opts[0]} does not go with --plan: {reason}")


def base_settings(preset: str | None) -> QuantizeSettings:
    """The preset of that name; without one, settings to adjust."""
    return QuantizeSettings() if preset is None else PRESETS[preset]

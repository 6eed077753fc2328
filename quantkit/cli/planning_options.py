"""Options that say how a plan is made; each method knows some of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.api.plan_settings import PlanSettings
from quantkit.cli.framework import OutputFile
from quantkit.cli.layer_options import max_input_divergence_option
from quantkit.cli.option_groups import option_group
from quantkit.codecs.catalogue import CodecChoice
from quantkit.planning.front_file import FORMS
from quantkit.planning.methods.counting import SIZE_COUNTS, SizeCount
from quantkit.planning.methods.ordering import DIRECTIONS, MEDIAN, Direction
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings

F = TypeVar("F", bound=Callable[..., Any])

load_memory_option = click.option(
    "--load-memory",
    metavar="SIZE",
    help="What opening the file in ONNX Runtime may take beyond the libraries, such as 300MB.",
)

structure_option = click.option(
    "--structure/--no-structure",
    default=None,
    help="With --max-latency: let layers have lower ranks and make fewer channels where that "
    "loses less.  [default: yes, with audio]",
)

_OPTIONS = (
    click.option(
        "--candidate",
        "candidates",
        multiple=True,
        metavar="CODEC:BITS",
        help="optimal: choose among these codecs only; may be repeated.  [default: all in the "
        "sensitivity table]",
    ),
    click.option(
        "--max-latency",
        metavar="TIME",
        help="optimal: what a run may take on this host, such as 30ms, or 0.4x of what float32 "
        "takes; then kernels are chosen, too, and with --audio lower ranks and fewer channels.",
    ),
    structure_option,
    load_memory_option,
    click.option(
        "--times",
        "times",
        type=OutputFile(".json", read_if_there=True),
        metavar="FILE",
        help="Times of the layers on this host; measured on the audio and written there, where "
        "there is no such file yet.",
    ),
    click.option(
        "--verify/--no-verify",
        default=None,
        help="optimal: try the plan on the audio, and correct it where layers interact.  [default: "
        "where there is audio]",
    ),
    click.option(
        "--pareto",
        "fronts",
        multiple=True,
        type=OutputFile(*FORMS),
        metavar="FILE",
        help="optimal: write what is possible at other sizes, too, as .tsv, .md, .json, .png, .svg "
        "or .pdf; may be repeated.",
    ),
    max_input_divergence_option("optimal, without --max-latency: "),
    click.option(
        "--metric",
        help=f"Metric of the sensitivity table that other methods sort by.  [default: {MEDIAN}]",
    ),
    click.option(
        "--direction",
        type=click.Choice(DIRECTIONS),
        help="Whether layers with small (ascending) or large values lose bits first.  [default: "
        "the method's]",
    ),
    click.option(
        "--size-count",
        "size",
        type=click.Choice(SIZE_COUNTS),
        help="myqasr: what is compared with the budget; only `bytes` are those of the file.",
    ),
    click.option("--seed", type=int, help="shuffled: which deal."),
)


@dataclass(frozen=True)
class PlanningOptions:
    """Values of the options above."""

    candidates: tuple[str, ...]
    max_latency: str | None
    structure: bool | None
    load_memory: str | None
    times: Path | None
    verify: bool | None
    fronts: tuple[Path, ...]
    max_input_divergence: float | None
    metric: str | None
    direction: Direction | None
    size: SizeCount | None
    seed: int | None

    def settings(
        self, quantize: QuantizeSettings, fitting: PtqSettings | None, codec: str | None
    ) -> PlanSettings:
        """What they say, with what layers become, how numbers are found, and a codec's name.

        Raises:
            InputError: a codec that there is not.
        """
        return PlanSettings(
            quantize=quantize,
            fitting=fitting,
            codec=codec,
            candidates=tuple(map(CodecChoice.parse, self.candidates)),
            max_latency=self.max_latency,
            structure=self.structure,
            load_memory=self.load_memory,
            times=self.times,
            verify=self.verify,
            fronts=self.fronts,
            max_input_divergence=self.max_input_divergence,
            metric=self.metric,
            direction=self.direction,
            size=self.size,
            seed=self.seed,
        )


def planning_options(function: F) -> F:
    """Add the options; the command receives ``planning``, a :class:`PlanningOptions`."""
    return option_group(PlanningOptions, "planning", _OPTIONS)(function)

"""``quantkit plan``: from a budget to how every layer is stored and computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from quantkit.api.plan import plan, resize_plan
from quantkit.api.plan_settings import PLAN_METHODS
from quantkit.cli.audio_options import AudioOptions, audio_options, name_left_out
from quantkit.cli.fitting_options import FittingOptions, fitting_changes, fitting_options
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.interface_options import keep_interface_option
from quantkit.cli.layer_options import (
    LayerOptions,
    base_settings,
    layer_options,
    preset_option,
    refuse_layer_options,
)
from quantkit.cli.planning_options import PlanningOptions, planning_options
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.streams import echo_json
from quantkit.graph.plan import Plan
from quantkit.planning.correction import Correction
from quantkit.report.formatting import estimate


@click.command(
    name="plan",
    cls=Command,
    first=("budget", "audio", "sensitivity_file", "method", "candidates", "preset", "as_json"),
    alternatives=[("preset", "compute"), ("codec", "candidates"), ("plan_file", "method")],
    dry_run=True,
    threads=True,
)
@click.argument("model", cls=Argument, type=click.Path(path_type=Path), help="The float32 .onnx.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".json"),
    metavar="FILE",
    help="The plan.json to write.",
)
@click.option(
    "--budget",
    metavar="SIZE",
    help="What the file may take on disk, such as 20MB, 19.5MiB or 123456B.",
)
@click.option(
    "--method",
    type=click.Choice(list(PLAN_METHODS)),
    metavar="NAME",
    default="optimal",
    show_default=True,
    help="; ".join(f"{name}: {text}" for name, text in PLAN_METHODS.items()) + ".",
)
@click.option(
    "--sensitivity",
    "sensitivity_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `quantkit analyze` wrote for this model.",
)
@audio_options(": to analyze the model, where there is no --sensitivity, and to try optimal plans")
@planning_options
@click.option(
    "--from",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A plan that was edited by hand: its sizes are computed anew.",
)
@preset_option()
@layer_options
@fitting_options
@keep_interface_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    model: Path,
    output: Path,
    budget: str | None,
    method: str,
    sensitivity_file: Path | None,
    audio: AudioOptions,
    planning: PlanningOptions,
    plan_file: Path | None,
    preset: str | None,
    layers: LayerOptions,
    fitting: FittingOptions,
    keep_interface: bool | None,
    as_json: bool,
) -> None:
    """Decide how the layers of the float32 MODEL are stored, and what the file will take.

    \b
    Example:
      quantkit plan float32.onnx --budget 3MB --audio calibration_data -o plan.json
      quantkit plan float32.onnx --budget 3MB --sensitivity sensitivity.json -o plan.json \\
        --pareto front.png --pareto front.tsv
      quantkit plan float32.onnx --budget 6MB --method uniform -o plan.json
      quantkit plan float32.onnx --method manual --compute static --codec grouped:4 \\
        --layer "1=int8" --layer "-1=@dynamic" -o plan.json
      quantkit quantize float32.onnx --plan plan.json --audio calibration_data -o user.onnx
    """
    if plan_file is not None:
        method = "manual"
    # For other methods it says which codec to take, not how many bits.
    codec = None if method == "manual" else layers.codec
    rules = layers if method == "manual" else replace(layers, codec=None)
    settings = planning.settings(
        rules.adjusted(base_settings(preset)),
        fitting.fitting if plan_file is None else None,
        codec,
    )
    if plan_file is not None:
        refuse_layer_options("the plan says it")
        found = resize_plan(
            model,
            plan_file,
            budget,
            settings=settings,
            changes=fitting_changes(fitting),
            keep_interface=keep_interface,
            output=output,
            begin=begin_work,
        )
    else:
        with progress_bar("planning") as tell:
            found = plan(
                model,
                budget,
                method=method,
                sensitivity=sensitivity_file,
                audio=audio.audio,
                selection=audio.chosen,
                settings=settings,
                keep_interface=keep_interface,
                output=output,
                begin=begin_work,
                progress=tell,
                notify=warn,
            )
    if as_json:
        echo_json(found.to_dict())
    else:
        echo(_summary(found.plan, output))
        if found.correction is not None:
            echo(_divergence(found.correction, found.unit))
    name_left_out(found.skipped)
    for warning in found.warnings:
        warn(warning)


def _summary(plan: Plan, output: Path) -> str:
    widths = sorted({(layer.codec, layer.bits) for layer in plan.layers}, key=str)
    stored = ", ".join(
        f"{sum((layer.codec, layer.bits) == width for layer in plan.layers)} × "
        f"{width[0]} {width[1]:g} bit"
        for width in widths
    )
    return (
        f"{output}: {len(plan.layers)} layers ({stored}); the file will take "
        f"{plan.predicted_bytes:,} bytes = {(plan.predicted_bytes or 0) / 1e6:.2f} MB"
    )


def _divergence(found: Correction, unit: str) -> str:
    text = f"  predicted output divergence: {found.optimum.divergence:.3g} nats per {unit}"
    if found.measured is not None:
        tried = len(found.rounds)
        measured = estimate(found.measured.mean, found.measured.interval)
        plans = "1 plan" if tried == 1 else f"the best of {tried} plans"
        text += f"; measured on the audio: {measured} ({plans})"
    return text

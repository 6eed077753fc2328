"""``quantkit plan``: from a budget to how every layer is stored and computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from quantkit.cli.layer_options import (
    adjusted,
    base_settings,
    layer_options,
    preset_option,
    refuse_layer_options,
)
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.files import refuse_overwriting
from quantkit.graph.plan import Plan, read_plan, write_plan
from quantkit.planning.budget import parse_budget
from quantkit.planning.size import with_sizes
from quantkit.planning.uniform import uniform_plan


@click.command(name="plan")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The plan.json to write.",
)
@click.option(
    "--budget",
    metavar="SIZE",
    help="What the file may take on disk, such as 20MB, 19.5MiB or 123456B.",
)
@click.option(
    "--method",
    type=click.Choice(["uniform", "manual"]),
    default="uniform",
    show_default=True,
    help="uniform: the most bits that fit, the same for every layer; manual: what the options or "
    "--from say, checked against the budget if there is one.",
)
@click.option(
    "--from",
    "plan_file",
    type=click.Path(path_type=Path),
    help="A plan that was edited by hand: its sizes are computed anew.",
)
@preset_option()
@layer_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    model: Path,
    output: Path,
    budget: str | None,
    method: str,
    plan_file: Path | None,
    preset: str | None,
    as_json: bool,
    **layer_settings: Any,
) -> None:
    """Decide how the layers of the float32 MODEL are stored, and what the file will take.

    \b
    Example:
      quantkit plan float32.onnx --budget 6MB -o plan.json
      quantkit plan float32.onnx --method manual --compute static --codec grouped:4 \\
        --layer "1=int8" --layer "-1=@dynamic" -o plan.json
      quantkit quantize float32.onnx --plan plan.json --audio calibration_data -o user.onnx
    """
    refuse_overwriting(output, [model])
    limit = None if budget is None else parse_budget(budget)
    if plan_file is not None:
        refuse_layer_options("the plan says it")
        plan = with_sizes(model, replace(read_plan(plan_file), method="manual"), limit)
    else:
        codec = layer_settings["codec"]
        if method == "uniform":
            layer_settings["codec"] = None
        settings = adjusted(base_settings(preset), **layer_settings)
        if method == "manual":
            plan = with_sizes(model, replace(settings, name="manual"), limit)
        elif limit is None:
            raise click.UsageError("--method uniform needs a --budget")
        else:
            plan = uniform_plan(model, limit, settings, _name_only(codec))
    if limit is not None and (plan.predicted_bytes or 0) > limit:
        raise InputError(
            f"the plan takes {plan.predicted_bytes:,} bytes, more than the budget of {limit:,}; "
            "give layers fewer bits, or raise the budget"
        )
    write_plan(plan, output)
    click.echo(json.dumps(plan.to_json(), indent=2) if as_json else _summary(plan, output))


def _name_only(codec: str | None) -> str:
    if codec is None:
        return "bitplane"
    if ":" in codec or "," in codec:
        raise click.UsageError(
            "--method uniform finds the number of bits itself: give the codec's name only"
        )
    CodecChoice.parse(f"{codec}:4")
    return codec


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

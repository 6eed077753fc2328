"""``quantkit plan``: from a budget to how every layer is stored and computed."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from quantkit.cli.audio_options import (
    audio_options,
    clips_in_words,
    name_left_out,
    pop_feeds,
)
from quantkit.cli.fitting_options import fitting_given, fitting_options, pop_fitting
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, is_given
from quantkit.cli.layer_options import (
    adjusted,
    base_settings,
    layer_options,
    max_input_divergence_option,
    preset_option,
    refuse_layer_options,
)
from quantkit.cli.plan_question import Question, by_other_method, optimal
from quantkit.errors import InputError
from quantkit.graph.artifact import read_info
from quantkit.graph.plan import Plan, read_plan, write_plan
from quantkit.planning.budget import parse_budget
from quantkit.planning.correction import Correction
from quantkit.planning.front_file import FORMS
from quantkit.planning.methods import METHODS, options_of
from quantkit.planning.methods.counting import SIZE_COUNTS
from quantkit.planning.methods.ordering import DIRECTIONS, MEDIAN
from quantkit.planning.size import with_sizes
from quantkit.quantization.prepared import PreparedModel
from quantkit.report.formatting import estimate
from quantkit.tasks.catalogue import task_of

_METHODS = {
    "optimal": "the least predicted output divergence, tried and corrected on the audio",
    **{name: method.description for name, method in METHODS.items()},
    "manual": "what the options or --from say, checked against the budget if there is one",
}
#: Parameters that only some methods have.
_OF_OPTIMAL = (
    "candidates",
    "max_latency",
    "times_file",
    "verify",
    "front_files",
    "max_input_divergence",
)
_OF_OTHERS = ("metric", "direction", "size", "seed")


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
    type=click.Choice(list(_METHODS)),
    metavar="NAME",
    default="optimal",
    show_default=True,
    help="; ".join(f"{name}: {text}" for name, text in _METHODS.items()) + ".",
)
@click.option(
    "--sensitivity",
    "sensitivity_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `quantkit analyze` wrote for this model.",
)
@audio_options(": to analyze the model, where there is no --sensitivity, and to try optimal plans")
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="CODEC:BITS",
    help="optimal: choose among these codecs only; may be repeated.  [default: all in the "
    "sensitivity table]",
)
@click.option(
    "--max-latency",
    metavar="TIME",
    help="optimal: what a run may take on this host, such as 30ms, or 0.4x of what float32 takes; "
    "then kernels are chosen, too.",
)
@click.option(
    "--times",
    "times_file",
    type=OutputFile(".json", read_if_there=True),
    metavar="FILE",
    help="Times of the layers on this host; measured on the audio and written there, where there "
    "is no such file yet.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="optimal: try the plan on the audio, and correct it where layers interact.  [default: "
    "where there is audio]",
)
@click.option(
    "--pareto",
    "front_files",
    multiple=True,
    type=OutputFile(*FORMS),
    metavar="FILE",
    help="optimal: write what is possible at other sizes, too, as .tsv, .md, .json, .png, .svg or "
    ".pdf; may be repeated.",
)
@max_input_divergence_option("optimal, without --max-latency: ")
@click.option(
    "--metric",
    help=f"Metric of the sensitivity table that other methods sort by.  [default: {MEDIAN}]",
)
@click.option(
    "--direction",
    type=click.Choice(DIRECTIONS),
    help="Whether layers with small (ascending) or large values lose bits first.  [default: the "
    "method's]",
)
@click.option(
    "--size-count",
    "size",
    type=click.Choice(SIZE_COUNTS),
    help="myqasr: what is compared with the budget; only `bytes` are those of the file.",
)
@click.option("--seed", type=int, help="shuffled: which deal.")
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
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    model: Path,
    output: Path,
    budget: str | None,
    method: str,
    sensitivity_file: Path | None,
    plan_file: Path | None,
    preset: str | None,
    as_json: bool,
    **options: Any,
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
    outputs = (output, options["times_file"], *options["front_files"])
    method = "manual" if plan_file is not None else method
    _refuse_options_of_others(method)
    limit = None if budget is None else parse_budget(budget)
    fitting, feeds = pop_fitting(options), pop_feeds(options, model, outputs=outputs)
    of_optimal = {name: options.pop(name) for name in _OF_OPTIMAL}
    of_others = {name: options.pop(name) for name in _OF_OTHERS}
    codec = options["codec"]
    if method != "manual":
        # It says which codec to take, not how many bits.
        options["codec"] = None
    begin_work(
        f"plan {model} by method {method}"
        + (f" within {limit:,} bytes" if limit else "")
        + (f", on {clips_in_words(feeds)}" if feeds else "")
    )
    found: Correction | None = None
    if plan_file is not None:
        refuse_layer_options("the plan says it")
        edited = replace(read_plan(plan_file), method="manual")
        plan = with_sizes(model, edited, limit, fitting if fitting_given() else None)
    elif method == "manual":
        settings = replace(adjusted(base_settings(preset), **options), name="manual")
        plan = with_sizes(model, settings, limit, fitting)
    elif limit is None:
        raise click.UsageError(f"--method {method} needs a --budget")
    else:
        settings = adjusted(base_settings(preset), **options)
        question = Question(
            PreparedModel.of(model), limit, settings, fitting, sensitivity_file, feeds
        )
        if method == "optimal":
            found = optimal(question, codec, **of_optimal)
            plan = found.optimum.plan
        else:
            plan = by_other_method(question, method, codec, of_others)
    size = plan.predicted_bytes or 0
    if plan.budget_bytes is not None and size > plan.budget_bytes:
        raise InputError(
            f"the plan takes {size:,} bytes, more than the budget of {plan.budget_bytes:,}; "
            "give layers fewer bits, or raise the budget"
        )
    write_plan(plan, output)
    if as_json:
        click.echo(json.dumps(plan.to_json() | _divergence_json(found), indent=2))
    else:
        click.echo(_summary(plan, output))
        if found is not None:
            click.echo(_divergence_text(found, task_of(read_info(model)).unit))
    if feeds is not None:
        name_left_out(feeds)


def _refuse_options_of_others(method: str) -> None:
    """Raise when an option was given that ``method`` does not know."""
    known = set(_OF_OPTIMAL) if method == "optimal" else set()
    if method in METHODS:
        known = set(options_of(method))
    context = click.get_current_context()
    for parameter in context.command.params:
        name = parameter.name or ""
        if is_given(name) and name in (*_OF_OPTIMAL, *_OF_OTHERS) and name not in known:
            raise click.UsageError(f"{parameter.opts[0]} does not go with --method {method}")


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


def _divergence_json(found: Correction | None) -> dict[str, Any]:
    if found is None:
        return {}
    rounds = [asdict(each) for each in found.rounds]
    return {
        "divergence": {
            "predicted": found.optimum.divergence,
            "measured": None if found.measured is None else found.measured.mean,
            "interval": None if found.measured is None else found.measured.interval,
            "rounds": rounds,
        }
    }


def _divergence_text(found: Correction, unit: str) -> str:
    text = f"  predicted output divergence: {found.optimum.divergence:.3g} nats per {unit}"
    if found.measured is not None:
        tried = len(found.rounds)
        measured = estimate(found.measured.mean, found.measured.interval)
        plans = "1 plan" if tried == 1 else f"the best of {tried} plans"
        text += f"; measured on the audio: {measured} ({plans})"
    return text

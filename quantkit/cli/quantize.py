"""``quantkit quantize``: a float32 artifact becomes int8 ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quantkit.cli.corpus_options import corpus_options, open_selected, split_option
from quantkit.cli.fitting_options import fitting_given, fitting_options, pop_fitting
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work
from quantkit.cli.layer_options import (
    adjusted,
    base_settings,
    layer_options,
    preset_option,
    refuse_layer_options,
)
from quantkit.cli.outputs import check_outputs
from quantkit.cli.progress import progress_bar
from quantkit.graph.plan import read_plan
from quantkit.quantization.choices.fitting import Fitting
from quantkit.quantization.choices.presets import PRESETS
from quantkit.quantization.family import quantize_family
from quantkit.quantization.pipeline import QuantizeResult, quantize_model


def _family_files(params: Mapping[str, Any]) -> Sequence[str] | None:
    """What ``--preset all`` writes into the folder that ``-o`` names then."""
    return [f"{name}.onnx" for name in PRESETS] if params["preset"] == "all" else None


@click.command(
    name="quantize",
    cls=Command,
    first=("plan_file", "preset", "compute", "codec", "audio", "clips", "exclude", "as_json"),
    one_of=("plan_file", "preset", "compute"),
    dry_run=True,
    threads=True,
)
@click.argument("model", cls=Argument, type=click.Path(path_type=Path), help="The float32 .onnx.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx", files_in_folder=_family_files),
    metavar="FILE",
    help="The .onnx to write; with --preset all, the folder for <preset>.onnx.",
)
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What `quantkit plan` wrote, or the same edited by hand.",
)
@preset_option("all")
@layer_options
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of unlabelled calibration clips; static layers need it.",
)
@split_option("calibration")
@corpus_options
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Calibrate on at most this many of them, drawn with a fixed seed.",
)
@fitting_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    output: Path,
    plan_file: Path | None,
    preset: str | None,
    audio: Path | None,
    split: tuple[str, ...],
    speaker: tuple[str, ...],
    gender: tuple[str, ...],
    language: tuple[str, ...],
    max_seconds: float | None,
    clips: int,
    as_json: bool,
    **layer_settings: Any,
) -> None:
    """Quantize the float32 MODEL and say which layers really run in int8.

    \b
    Example:
      quantkit quantize float32.onnx --preset static-int8 --audio calibration_data -o int8.onnx
      quantkit quantize float32.onnx --preset all --audio calibration_data -o build/
      quantkit quantize float32.onnx --plan plan.json --audio calibration_data -o user.onnx
      quantkit quantize float32.onnx --compute dynamic --codec grouped:4 --exclude 1 -o custom.onnx
    """
    fitting = pop_fitting(layer_settings)
    compute = layer_settings["compute"]
    if sum(choice is not None for choice in (plan_file, preset, compute)) != 1:
        raise click.UsageError("give one of --plan, --preset and --compute")
    plan = None if plan_file is None else read_plan(plan_file)
    if plan is not None and not fitting_given():
        fitting = Fitting.from_json(plan.fitting)
    if plan is not None:
        refuse_layer_options("the plan says it; edit the plan, or make another with quantkit plan")
    chosen = list(PRESETS.values()) if preset == "all" else [base_settings(preset)]
    family = [adjusted(settings, **layer_settings) for settings in chosen]
    corpus = None
    if audio is not None:
        recordings = open_selected(audio, speaker, gender, language, max_seconds)
        if preset != "all":
            check_outputs([output], (clip.path for clip in recordings))
        corpus = recordings.part(split, usually="calibration").sample(clips)
    begin_work(
        f"quantize {model} with {plan_file or preset or f'compute {compute}'}"
        + (f", calibrated on {len(corpus)} clips of {corpus.name}" if corpus else "")
    )
    with progress_bar("quantizing") as tell:
        if preset == "all":
            results = list(
                quantize_family(model, output, family, corpus, fitting=fitting, progress=tell)
            )
        else:
            decisions = family[0] if plan is None else plan
            result = quantize_model(
                model, output, decisions, corpus, fitting=fitting, progress=tell
            )
            results = [result]
    if as_json:
        rows = [_json(result) for result in results]
        click.echo(json.dumps(rows if preset == "all" else rows[0], indent=2))
        return
    for result in results:
        _report(result)


def _report(result: QuantizeResult) -> None:
    ratio = result.source_bytes / result.size_bytes
    click.echo(
        f"{result.path}: {result.size_bytes / 1e6:.1f} MB ({ratio:.2f} times smaller), "
        f"{result.lint.summary()}"
    )
    for done in result.conditioned:
        click.echo(f"  {done}", err=True)
    for layer in result.layers:
        if layer.note:
            click.echo(f"  {layer.name} ({layer.compute}, {layer.codec}): {layer.note}", err=True)
    for row in result.lint.problems:
        click.echo(f"  warning: {row.name} ({row.kernel or '?'}): {row.remark}", err=True)
    if result.skipped:
        click.echo(
            f"  left out {len(result.skipped)} calibration clips; the first: {result.skipped[0]}",
            err=True,
        )


def _json(result: QuantizeResult) -> dict[str, Any]:
    return {
        "path": str(result.path),
        "method": result.plan.method,
        "size_bytes": result.size_bytes,
        "source_bytes": result.source_bytes,
        "onnxruntime": result.lint.onnxruntime,
        "skipped_clips": list(result.skipped),
        "layers": [
            layer.to_row() | {"kernel": row.kernel, "status": row.status, "remark": row.remark}
            for layer, row in zip(result.layers, result.lint.rows, strict=True)
        ],
    }

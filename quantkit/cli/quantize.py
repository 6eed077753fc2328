"""``quantkit quantize``: a float32 artifact becomes int8 ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from quantkit.api.defaults import CALIBRATION_CLIPS
from quantkit.api.quantize import quantize, quantize_presets
from quantkit.cli.audio_options import AudioOptions, audio_options, name_left_out
from quantkit.cli.fitting_options import FittingOptions, fitting_changes, fitting_options
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.interface_options import folder_files, keep_interface_option, suffix_option
from quantkit.cli.layer_options import (
    LayerOptions,
    base_settings,
    layer_options,
    preset_option,
    refuse_layer_options,
)
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.streams import echo_json
from quantkit.quantization.choices.presets import PRESETS
from quantkit.quantization.pipeline import QuantizeResult


def _family_files(params: Mapping[str, Any]) -> Sequence[str] | None:
    """What is written into the folder that ``-o`` names, where it names one."""
    if params["preset"] == "all":
        return [f"{name}.onnx" for name in PRESETS]
    return folder_files(params)


@click.command(
    name="quantize",
    cls=Command,
    first=("plan_file", "preset", "compute", "codec", "audio", "clips", "exclude", "as_json"),
    one_of=("plan_file", "preset", "compute"),
    dry_run=True,
    threads=True,
)
@click.argument(
    "model",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="The float32 .onnx, or a published folder of several.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx", files_in_folder=_family_files),
    metavar="FILE",
    help="The .onnx to write, or of a published folder a folder; with --preset all, the folder "
    "for <preset>.onnx.",
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
@audio_options(
    "; static layers need it",
    kind="unlabelled calibration",
    verb="Calibrate on",
    clips=CALIBRATION_CLIPS,
)
@fitting_options
@keep_interface_option
@suffix_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    output: Path,
    plan_file: Path | None,
    preset: str | None,
    audio: AudioOptions,
    layers: LayerOptions,
    fitting: FittingOptions,
    keep_interface: bool | None,
    suffix: str,
    as_json: bool,
) -> None:
    """Quantize the float32 MODEL and say which layers really run in int8.

    \b
    Example:
      quantkit quantize float32.onnx --preset static-int8 --audio calibration_data -o int8.onnx
      quantkit quantize float32.onnx --preset all --audio calibration_data -o build/
      quantkit quantize float32.onnx --plan plan.json --audio calibration_data -o user.onnx
      quantkit quantize float32.onnx --compute dynamic --codec grouped:4 --exclude 1 -o custom.onnx
    """
    if sum(choice is not None for choice in (plan_file, preset, layers.compute)) != 1:
        raise click.UsageError("give one of --plan, --preset and --compute")
    if plan_file is not None:
        refuse_layer_options("the plan says it; edit the plan, or make another with quantkit plan")
    with progress_bar("quantizing") as tell:
        if preset == "all":
            results = quantize_presets(
                model,
                output,
                audio.audio,
                presets=[layers.adjusted(settings) for settings in PRESETS.values()],
                selection=audio.chosen,
                fitting=fitting.fitting,
                keep_interface=keep_interface,
                begin=begin_work,
                progress=tell,
            )
        else:
            result = quantize(
                model,
                output,
                plan_file or layers.adjusted(base_settings(preset)),
                audio.audio,
                selection=audio.chosen,
                fitting=fitting.fitting if plan_file is None else None,
                changes=fitting_changes(fitting),
                keep_interface=keep_interface,
                suffix=suffix,
                begin=begin_work,
                progress=tell,
            )
            results = (result,)
    if as_json:
        rows = [result.to_dict() for result in results]
        echo_json(rows if preset == "all" else rows[0])
    else:
        for result in results:
            _report(result)
    name_left_out(results[0].skipped)
    for warning in dict.fromkeys(each for result in results for each in result.warnings):
        warn(warning)


def _report(result: QuantizeResult) -> None:
    ratio = result.source_bytes / result.size_bytes
    change = f"{ratio:.2f} times smaller" if ratio >= 1 else f"{1 / ratio:.2f} times larger"
    echo(f"{result.path}: {result.size_bytes / 1e6:.1f} MB ({change}), {result.lint.summary()}")
    if result.changed_in_words:
        echo(f"  against float32: {result.changed_in_words}")
    for done in result.conditioned:
        echo(f"  {done}", err=True)
    for layer in result.layers:
        if layer.note:
            echo(f"  {layer.name} ({layer.compute}, {layer.codec}): {layer.note}", err=True)
    for row in result.lint.problems:
        echo(f"  warning: {row.name} ({row.kernel or '?'}): {row.remark}", err=True)

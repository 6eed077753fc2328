"""``quantkit personalize``: the best file within a budget for the speakers of some audio."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from quantkit.api.personalize import personalize
from quantkit.cli.audio_options import AudioOptions, audio_options
from quantkit.cli.cache_options import cache_choice
from quantkit.cli.fitting_options import FittingOptions, fitting_options
from quantkit.cli.framework import Argument, CacheFolder, Command, OutputFile, begin_work, echo
from quantkit.cli.interface_options import folder_files, keep_interface_option, suffix_option
from quantkit.cli.layer_options import LayerOptions, layer_options
from quantkit.cli.personal_options import PersonalOptions, personal_options
from quantkit.cli.planning_options import structure_option
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.slice_options import HeardSliceOptions, heard_slice_options
from quantkit.cli.streams import echo_json
from quantkit.personalization.pipeline import Personalized
from quantkit.report.formatting import estimate
from quantkit.report.terminal import print_report_table, terminal_console
from quantkit.slices.tables import slice_tables


@click.command(
    name="personalize",
    cls=Command,
    first=("report", "plan_file", "preset", "clips", "split", "speaker", "as_json"),
    alternatives=[("cache", "no_cache"), ("preset", "compute")],
    dry_run=True,
    threads=True,
)
@click.argument(
    "model",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="A float32 .onnx, a published folder of several, or a checkpoint to export first.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx", files_in_folder=folder_files),
    metavar="FILE",
    help="The .onnx to write, or of a published folder a folder that takes its place.",
)
@click.option(
    "--budget",
    metavar="SIZE",
    required=True,
    help="What the file may take on disk, such as 20MB, 19.5MiB or 123456B.",
)
@click.option(
    "--max-latency",
    metavar="TIME",
    help="What a run may take on this host, such as 20ms, or 0.13x of what float32 takes; then "
    "kernels are chosen, too, layers are split in two of lower rank, and make fewer channels. "
    "Takes several times as long.",
)
@structure_option
@audio_options(" of the user; 10 to 100 are good", required=True)
@heard_slice_options
@click.option(
    "--report",
    type=OutputFile(".html"),
    metavar="FILE",
    help="Write a page that shows what was chosen and why (.html).",
)
@click.option(
    "--plan",
    "plan_file",
    type=OutputFile(".json"),
    metavar="FILE",
    help="Write the plan (.json).",
)
@personal_options
@layer_options
@fitting_options
@keep_interface_option
@suffix_option
@click.option(
    "--cache",
    type=CacheFolder(),
    metavar="FOLDER",
    help="Folder that keeps the analysis, so that another budget for the same audio is answered at "
    "once.  [default: $QUANTKIT_CACHE, or the user's cache folder]",
)
@click.option("--no-cache", is_flag=True, help="Measure everything anew and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    output: Path,
    budget: str,
    max_latency: str | None,
    structure: bool | None,
    report: Path | None,
    plan_file: Path | None,
    personal: PersonalOptions,
    audio: AudioOptions,
    slicing: HeardSliceOptions,
    layers: LayerOptions,
    fitting: FittingOptions,
    keep_interface: bool | None,
    suffix: str,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Make the best model within a budget for the speakers of some unlabelled audio.

    MODEL is a float32 .onnx, or a checkpoint that is exported first. Listens to the audio, finds
    out how much each layer's precision matters for it, decides the bits of every layer, quantizes,
    and compares the result with the float32 model.

    \b
    Example:
      quantkit personalize float32.onnx --audio recordings --budget 2.5MB -o user.onnx
      quantkit personalize float32.onnx --audio recordings --budget 2MB --max-latency 0.12x \
        -o fast.onnx
      quantkit personalize models/wav2letter-en --audio calibration_data --budget 3MB \\
        --report user.html -o user.onnx
    """
    settings = replace(
        personal.settings(layers, fitting),
        max_latency=max_latency,
        structure=structure is not False,
    )
    with progress_bar("listening") as tell:
        made = personalize(
            model,
            output,
            audio.required,
            budget,
            selection=audio.chosen,
            settings=settings,
            keep_interface=keep_interface,
            suffix=suffix,
            by=slicing.by,
            rare_words=slicing.rare_words,
            add=slicing.add,
            add_seed=slicing.add_seed,
            report=report,
            plan=plan_file,
            cache=cache_choice(cache, no_cache),
            begin=begin_work,
            progress=tell,
            notify=warn,
        )
    if as_json:
        echo_json(made.to_dict())
    else:
        _tell(made)


def _tell(made: Personalized) -> None:
    summary = made.summary
    if summary.latency is not None and not summary.latency.is_kept:
        warn(summary.latency.in_words)
    echo(
        f"{summary.destination}: {(summary.size_bytes or 0):,} of {summary.budget_bytes:,} bytes, "
        f"{summary.source_bytes / max(1, summary.size_bytes or 1):.1f} times smaller than float32; "
        f"{made.lint.summary()}"
    )
    if summary.latency is not None and summary.latency.is_kept:
        echo(f"  {summary.latency.in_words}")
    for line in summary.changed_in_words():
        echo(f"  {line}")
    if summary.measured_divergence is not None:
        measured = estimate(summary.measured_divergence, summary.measured_interval)
        echo(
            f"  divergence from float32 on {summary.compared_in_words}: {measured} nats per "
            f"{summary.unit} (predicted "
            f"{estimate(summary.predicted_divergence, summary.predicted_interval)})"
        )
    for line in (*summary.parts_in_words(), *summary.reasons):
        echo(f"  {line}")
    if summary.slices:
        console = terminal_console()
        for table in slice_tables(summary.slices, summary.unit):
            print_report_table(table, console)
    steps = ", ".join(f"{step.name} {step.seconds:.1f} s" for step in summary.steps)
    echo(f"  {summary.total_seconds:.1f} s: {steps}")
    for warning in summary.warnings:
        warn(warning)

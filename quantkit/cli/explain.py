"""``quantkit explain``: where the accuracy of a quantized model goes."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.explain import explain
from quantkit.cli.audio_options import AudioOptions, audio_options
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.slice_options import HeardSliceOptions, heard_slice_options
from quantkit.cli.streams import echo_json
from quantkit.explanation.result import Explanation
from quantkit.explanation.tables import (
    clip_table,
    graph_table,
    layer_table,
    remedy_table,
)
from quantkit.report.table import Table
from quantkit.report.terminal import print_report_table, terminal_console
from quantkit.slices.tables import slice_tables

_LAYERS = 10


@click.command(
    name="explain",
    cls=Command,
    first=("report", "by", "clips", "split", "speaker", "as_json"),
    dry_run=True,
    threads=True,
)
@click.argument(
    "model",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="The float32 .onnx, or what it was exported from.",
)
@click.argument(
    "quantized",
    cls=Argument,
    type=click.Path(path_type=Path),
    help="A quantized .onnx that was made from it.",
)
@audio_options(" to hear both with; transcripts are used where there are some", required=True)
@heard_slice_options
@click.option(
    "--report",
    type=OutputFile(".html"),
    metavar="FILE",
    help="Write a page with pictures (.html).",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    quantized: Path,
    audio: AudioOptions,
    slicing: HeardSliceOptions,
    report: Path | None,
    as_json: bool,
) -> None:
    """Find out which layers of a quantized model cost accuracy, for whom, and in which words.

    Each layer is tried alone as it is in QUANTIZED, and given back its float32 numbers among all
    others; weights and inputs are told apart. The three layers whose improvement gains most are
    named, with the option of `quantize` and `plan` that makes it.

    \b
    Example:
      quantkit explain float32.onnx user.onnx --audio recordings
      quantkit explain float32.onnx user.onnx --audio calibration_data --report why.html
      quantkit explain float32.onnx user.onnx --audio recordings --by level,length:5/20,words
    """
    with progress_bar("listening") as tell:
        found = explain(
            model,
            quantized,
            audio.required,
            selection=audio.chosen,
            by=slicing.by,
            rare_words=slicing.rare_words,
            add=slicing.add,
            add_seed=slicing.add_seed,
            report=report,
            begin=begin_work,
            progress=tell,
        )
    if as_json:
        echo_json(found.to_dict())
    else:
        _print(found, report)
    for warning in found.warnings:
        warn(warning)


def _print(found: Explanation, report: Path | None) -> None:
    echo(f"{found.quantized}: {found.in_words}")
    tables: list[Table] = []
    if found.graphs:
        tables.append(graph_table(found))
    if found.layers:
        tables.append(layer_table(found, _LAYERS))
    if found.remedies:
        tables.append(remedy_table(found))
    tables += [*slice_tables(found.slices, found.unit), clip_table(found)]
    console = terminal_console()
    for table in tables:
        print_report_table(table, console)
    if report is not None:
        echo(f"{report}: the same with pictures")

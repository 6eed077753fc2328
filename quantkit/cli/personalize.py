"""``quantkit personalize``: the best file within a budget for whoever is heard."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from quantkit.cli.audio_options import audio_options, clips_in_words, pop_feeds
from quantkit.cli.fitting_options import fitting_options, pop_fitting
from quantkit.cli.framework import Argument, CacheFolder, Command, OutputFile, begin_work
from quantkit.cli.layer_options import (
    adjusted,
    base_settings,
    layer_options,
    max_input_divergence_option,
    preset_option,
)
from quantkit.cli.progress import progress_bar
from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.plan import write_plan
from quantkit.personalization.page import write_page
from quantkit.personalization.pipeline import Personalized, PersonalizeSettings, personalize
from quantkit.personalization.summary import PersonalizeSummary, agreement
from quantkit.planning.budget import parse_budget
from quantkit.planning.float_inputs import MAX_INPUT_DIVERGENCE
from quantkit.report.formatting import estimate
from quantkit.sensitivity.cache import default_cache_folder
from quantkit.sensitivity.divergence_settings import CANDIDATES

_USUAL_PRESET = "hybrid"


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
    help="A float32 .onnx, or a checkpoint to export first.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    type=OutputFile(".onnx"),
    metavar="FILE",
    help="The .onnx to write.",
)
@click.option(
    "--budget",
    metavar="SIZE",
    required=True,
    help="What the file may take on disk, such as 20MB, 19.5MiB or 123456B.",
)
@audio_options(" of the user; 10 to 100 are good", required=True)
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
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="CODEC:BITS",
    help=f"A codec to choose from; may be repeated.  [default: {', '.join(map(str, CANDIDATES))}]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    help="How often to try the plan as a whole and correct it where layers interact.  [default: "
    "as the model's size allows]",
)
@click.option(
    "--auto-balance/--no-auto-balance",
    default=True,
    show_default=True,
    help="Find the layers to --balance by listening, where none is named.",
)
@max_input_divergence_option()
@preset_option()
@layer_options
@fitting_options
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
    report: Path | None,
    plan_file: Path | None,
    candidates: tuple[str, ...],
    rounds: int | None,
    auto_balance: bool,
    max_input_divergence: float | None,
    preset: str | None,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Make the best model within a budget for the people who are heard in some unlabelled audio.

    MODEL is a float32 .onnx, or a checkpoint that is exported first. Listens to the audio, finds
    out how much each layer's precision matters for it, decides the bits of every layer, quantizes,
    and compares the result with the float32 model.

    \b
    Example:
      quantkit personalize float32.onnx --audio recordings --budget 2.5MB -o user.onnx
      quantkit personalize models/wav2letter-en --audio calibration_data --budget 3MB \\
        --report user.html -o user.onnx
    """
    if cache is not None and no_cache:
        raise click.UsageError("give one of --cache and --no-cache")
    outputs = (output, report, plan_file)
    limit = parse_budget(budget)
    if options["codec"] is not None:
        raise click.UsageError(
            "the plan chooses the codecs: name those to choose from, --candidate"
        )
    fitting = pop_fitting(options)
    if _is_checkpoint(model):
        begin_work(f"export {model}, and fit it into {limit:,} bytes")
    with _exported(model) as source:
        feeds = pop_feeds(options, source, outputs=outputs)
        assert feeds is not None
        usual = None if options["compute"] else _USUAL_PRESET
        settings = PersonalizeSettings(
            quantize=adjusted(base_settings(preset or usual), **options),
            candidates=tuple(map(CodecChoice.parse, candidates)) or CANDIDATES,
            fitting=fitting,
            balance=auto_balance,
            rounds=rounds,
            max_input_divergence=MAX_INPUT_DIVERGENCE
            if max_input_divergence is None
            else max_input_divergence,
        )
        begin_work(f"fit {model} into {limit:,} bytes for {clips_in_words(feeds)}")
        with progress_bar("listening") as tell:
            made = personalize(
                source,
                output,
                feeds,
                limit,
                settings,
                cache=None if no_cache else cache or default_cache_folder(),
                progress=tell,
                notify=lambda message: click.echo(f"  warning: {message}", err=True),
            )
    if plan_file is not None:
        write_plan(made.plan, plan_file)
    if report is not None:
        write_page(report, made.summary, made.sensitivity, made.plan, made.front)
    if as_json:
        document = made.summary.to_json() | {"plan": made.plan.to_json()}
        click.echo(json.dumps(document, indent=2))
    else:
        _tell(made)


def _is_checkpoint(model: Path) -> bool:
    return model.suffix != ".onnx" and model.exists()


@contextmanager
def _exported(model: Path) -> Iterator[Path]:
    """The float32 .onnx of ``model``, which may be anything that can be exported."""
    if not _is_checkpoint(model):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="quantkit-export-") as folder:
        path = Path(folder) / f"{model.name}.onnx"
        try:
            with progress_bar("exporting"):
                export_source(str(model), path, ExportOptions())
        except InputError as error:
            raise type(error)(f"{model} is no .onnx, and no checkpoint either: {error}") from error
        yield path


def _counted(summary: PersonalizeSummary) -> str:
    compared, clips = summary.compared_clips, summary.clips
    return f"{compared} of these clips" if compared < clips else f"these {clips} clips"


def _tell(made: Personalized) -> None:
    summary = made.summary
    click.echo(
        f"{summary.destination}: {(summary.size_bytes or 0):,} of {summary.budget_bytes:,} bytes, "
        f"{summary.source_bytes / max(1, summary.size_bytes or 1):.1f} times smaller than float32; "
        f"{made.lint.summary()}"
    )
    if summary.measured_divergence is not None:
        measured = estimate(summary.measured_divergence, summary.measured_interval)
        click.echo(
            f"  divergence from float32 on {_counted(summary)}: {measured} nats per {summary.unit} "
            f"(agreement {agreement(summary.measured_divergence):.1%}; predicted "
            f"{estimate(summary.predicted_divergence, summary.predicted_interval)})"
        )
    for line in summary.reasons:
        click.echo(f"  {line}")
    steps = ", ".join(f"{step.name} {step.seconds:.1f} s" for step in summary.steps)
    click.echo(f"  {summary.total_seconds:.1f} s: {steps}")
    for warning in summary.warnings:
        click.echo(f"  warning: {warning}", err=True)

"""``quantkit analyze``: how much the precision of each layer matters, from unlabelled audio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from quantkit.cli.audio_options import audio_options, name_left_out, pop_feeds
from quantkit.cli.fitting_options import fitting_options, pop_fitting
from quantkit.cli.outputs import check_outputs
from quantkit.cli.progress import progress_bar
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import read_info
from quantkit.sensitivity.analyze import REFERENCE, AnalysisSettings, analyze
from quantkit.sensitivity.cache import default_cache_folder
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.metrics import METRICS
from quantkit.sensitivity.posteriors import WEIGHTINGS, Weighting
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity, write_sensitivity

# What the printed table shows of all metrics; the file has every one that was measured.
_SHOWN = ("median", "variance", "kl", "sqnr", "hessian-trace")
_WIDTH_OF_FILES = 160


@click.command(name="analyze")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The sensitivity.json to write.",
)
@audio_options("", required=True)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(list(METRICS)),
    help="Only this metric of each layer; may be repeated.  [default: all]",
)
@click.option(
    "--reference",
    metavar="CODEC:BITS",
    default=str(REFERENCE),
    show_default=True,
    help="What quantizes a layer for the metrics that compare quantized with float outputs.",
)
@click.option(
    "--candidate",
    "candidates",
    multiple=True,
    metavar="CODEC:BITS",
    help="A codec to try on each layer for the output divergence; may be repeated.  "
    f"[default: {', '.join(map(str, CANDIDATES))}]",
)
@click.option(
    "--weighting",
    type=click.Choice(WEIGHTINGS),
    default=DivergenceSettings.weighting,
    show_default=True,
    help="Which frames count more in the output divergence.",
)
@click.option(
    "--divergence/--no-divergence",
    "with_divergence",
    default=True,
    show_default=True,
    help="Quantize each layer alone and measure how far the posteriors move.",
)
@fitting_options
@click.option(
    "--cache",
    type=click.Path(path_type=Path),
    help="Folder that keeps what is measured, so that the same question is answered at once and "
    "an interrupted analysis goes on.  [default: $QUANTKIT_CACHE, or the user's cache folder]",
)
@click.option("--no-cache", is_flag=True, help="Measure everything anew and keep nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def command(
    model: Path,
    output: Path,
    metrics: tuple[str, ...],
    reference: str,
    candidates: tuple[str, ...],
    weighting: Weighting,
    with_divergence: bool,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Find out how much the precision of each layer of the float32 MODEL matters.

    No transcripts are needed. The table that is written is what `quantkit plan` decides by.

    \b
    Example:
      quantkit analyze float32.onnx --audio calibration_data -o sensitivity.json
      quantkit analyze float32.onnx --audio recordings --metric median --no-divergence \\
        -o median.json
      quantkit plan float32.onnx --sensitivity sensitivity.json --budget 3MB -o plan.json
    """
    check_outputs([output], [model])
    if cache is not None and no_cache:
        raise click.UsageError("give one of --cache and --no-cache")
    if candidates and not with_divergence:
        raise click.UsageError("--candidate says what to measure the divergence of")
    divergence = DivergenceSettings(
        candidates=tuple(map(CodecChoice.parse, candidates)) or CANDIDATES, weighting=weighting
    )
    settings = AnalysisSettings(
        metrics=metrics or tuple(METRICS),
        reference=CodecChoice.parse(reference),
        fitting=pop_fitting(options),
        divergence=divergence if with_divergence else None,
    )
    feeds = pop_feeds(options, model, outputs=[output])
    assert feeds is not None
    with progress_bar("listening") as tell:
        table = analyze(
            model,
            feeds,
            settings,
            cache=None if no_cache else cache or default_cache_folder(),
            progress=tell,
            notify=lambda message: click.echo(f"  warning: {message}", err=True),
        )
    write_sensitivity(table, output)
    if as_json:
        click.echo(json.dumps(table.to_json(), indent=2))
    else:
        _print(table, output, read_info(model).unit)
    name_left_out(feeds)


def _print(table: Sensitivity, output: Path, unit: str) -> None:
    console = Console()
    if not console.is_terminal:
        # A narrow default width would cut the names that a file or a pager has room for.
        console = Console(width=_WIDTH_OF_FILES)
    console.print(_rich_table(table.layers, unit))
    click.echo(
        f"{output}: {len(table.layers)} layers, from {table.clips} clips of {table.seconds:.1f} s "
        "in all"
    )


def _rich_table(layers: Sequence[LayerSensitivity], unit: str) -> Table:
    """Layers by some metrics, and by the candidates of the codec that was asked about first."""
    measured = {name for layer in layers for name in layer.metrics}
    metrics = [name for name in METRICS if name in measured]
    if len(metrics) > len(_SHOWN):
        metrics = [name for name in _SHOWN if name in measured]
    tried = next((layer.weights for layer in layers if layer.weights), ())
    codecs = [str(each.codec) for each in tried if each.codec.name == tried[0].codec.name]
    caption = f"below a codec: output divergence in nats per {unit}"
    table = Table(caption=caption if codecs else None)
    for title in ("layer", "operator"):
        table.add_column(title)
    for title in ("parameters", *metrics, *codecs):
        table.add_column(title, justify="right")
    for layer in layers:
        divergences = {str(each.codec): each.divergence for each in layer.weights}
        values = [
            *(layer.metrics.get(name) for name in metrics),
            *(divergences.get(codec) for codec in codecs),
        ]
        table.add_row(
            layer.name,
            layer.op,
            f"{layer.parameters:,}",
            *("" if value is None else f"{value:.3g}" for value in values),
        )
    return table

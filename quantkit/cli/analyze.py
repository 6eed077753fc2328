"""``quantkit analyze``: how much the precision of each layer matters, from unlabelled audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from quantkit.api.analyze import analyze
from quantkit.cli.audio_options import AudioOptions, audio_options, name_left_out
from quantkit.cli.cache_options import cache_choice
from quantkit.cli.fitting_options import FittingOptions, fitting_options
from quantkit.cli.framework import Argument, CacheFolder, Command, OutputFile, begin_work, echo
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.streams import echo_json
from quantkit.codecs.catalogue import CodecChoice
from quantkit.report.terminal import Column, print_table
from quantkit.sensitivity.analyze import REFERENCE, AnalysisSettings
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.metrics import METRICS
from quantkit.sensitivity.posteriors import WEIGHTINGS, Weighting
from quantkit.sensitivity.table import LayerSensitivity, Sensitivity

# What the printed table shows of all metrics; the file has every one that was measured.
_SHOWN = ("median", "variance", "kl", "sqnr", "hessian-trace")


@click.command(
    name="analyze",
    cls=Command,
    first=("metrics", "candidates", "clips", "split", "as_json"),
    alternatives=[("cache", "no_cache")],
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
    help="The sensitivity.json to write.",
)
@audio_options("", required=True)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(list(METRICS)),
    metavar="NAME",
    help=f"Only this metric of each layer: {', '.join(METRICS)}; may be repeated.  [default: all]",
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
    type=CacheFolder(),
    metavar="FOLDER",
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
    audio: AudioOptions,
    fitting: FittingOptions,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
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
    if candidates and not with_divergence:
        raise click.UsageError("--candidate says what to measure the divergence of")
    divergence = DivergenceSettings(
        candidates=tuple(map(CodecChoice.parse, candidates)) or CANDIDATES, weighting=weighting
    )
    settings = AnalysisSettings(
        metrics=metrics or tuple(METRICS),
        reference=CodecChoice.parse(reference),
        fitting=fitting.fitting,
        divergence=divergence if with_divergence else None,
    )
    with progress_bar("listening") as tell:
        found = analyze(
            model,
            audio.required,
            output=output,
            selection=audio.chosen,
            settings=settings,
            cache=cache_choice(cache, no_cache),
            begin=begin_work,
            progress=tell,
            notify=warn,
        )
    if as_json:
        echo_json(found.to_dict())
    else:
        _print(found.sensitivity, output, found.unit)
    name_left_out(found.skipped)
    for warning in found.warnings:
        warn(warning)


def _print(table: Sensitivity, output: Path, unit: str) -> None:
    _print_layers(table.layers, unit)
    echo(
        f"{output}: {len(table.layers)} layers, from {table.clips} clips of {table.seconds:.1f} s "
        "in all"
    )


def _print_layers(layers: Sequence[LayerSensitivity], unit: str) -> None:
    """Layers by some metrics, and by the candidates of the first requested codec."""
    measured = {name for layer in layers for name in layer.metrics}
    metrics = [name for name in METRICS if name in measured]
    if len(metrics) > len(_SHOWN):
        metrics = [name for name in _SHOWN if name in measured]
    tried = next((layer.weights for layer in layers if layer.weights), ())
    codecs = [str(each.codec) for each in tried if each.codec.name == tried[0].codec.name]
    columns = [
        Column("layer"),
        Column("operator", importance=0),
        Column("parameters", "right", importance=1),
        *(Column(name, "right", importance=2) for name in metrics),
        # Of a codec's widths, the plan takes the narrow ones first.
        *(Column(name, "right", importance=2 + len(codecs) - i) for i, name in enumerate(codecs)),
    ]
    rows = []
    for layer in layers:
        divergences = {str(each.codec): each.divergence for each in layer.weights}
        values = [
            *(layer.metrics.get(name) for name in metrics),
            *(divergences.get(codec) for codec in codecs),
        ]
        rows.append(
            (
                layer.name,
                layer.op,
                f"{layer.parameters:,}",
                *("" if value is None else f"{value:.3g}" for value in values),
            )
        )
    caption = f"below a codec: output divergence in nats per {unit}" if codecs else ""
    print_table(columns, rows, caption=caption)

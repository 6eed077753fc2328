"""``quantkit quantize``: a float32 artifact becomes int8 ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console
from rich.progress import Progress

from quantkit.audio.utterance import Corpus
from quantkit.cli.corpus_options import corpus_options, open_selected
from quantkit.graph.plan import Compute
from quantkit.quantize.family import quantize_family
from quantkit.quantize.pipeline import QuantizeResult, quantize_model
from quantkit.quantize.presets import DESCRIPTIONS, PRESETS
from quantkit.quantize.settings import QuantizeSettings, RangeMethod

_PRESET_HELP = "; ".join(f"{name}: {text}" for name, text in DESCRIPTIONS.items())


@click.command(name="quantize")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The .onnx to write; with --preset all, the folder for <preset>.onnx.",
)
@click.option(
    "--preset",
    type=click.Choice([*PRESETS, "all"]),
    help=f"Settings with a name. {_PRESET_HELP}; all: each of them.",
)
@click.option(
    "--compute",
    type=click.Choice(["float32", "dynamic", "static"]),
    help="Instead of a preset: what every layer becomes that is not excluded.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Layers that stay float32: a name, a glob, a position (1 is the first, -1 the last) or "
    "an operator. May be repeated.",
)
@click.option(
    "--audio",
    type=click.Path(path_type=Path),
    help="Folder of unlabelled calibration clips; static layers need it.",
)
@click.option(
    "--split",
    default="",
    help="Split of the audio to calibrate on, or all.  [default: calibration, where there is one]",
)
@corpus_options
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="Calibrate on at most this many of them, drawn with a fixed seed.",
)
@click.option(
    "--range",
    "range_method",
    type=click.Choice(["min-max", "percentile"]),
    default="min-max",
    show_default=True,
    help="How static activation ranges are chosen.",
)
@click.option(
    "--percentile",
    type=click.FloatRange(min=50, max=100, min_open=True),
    default=99.99,
    show_default=True,
    help="Per cent of the activations that a percentile range covers.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    model: Path,
    output: Path,
    preset: str | None,
    compute: str | None,
    exclude: tuple[str, ...],
    audio: Path | None,
    split: str,
    speaker: str | None,
    gender: str | None,
    language: str | None,
    max_seconds: float | None,
    clips: int,
    range_method: str,
    percentile: float,
    as_json: bool,
) -> None:
    """Quantize the float32 MODEL and say which layers really run in int8.

    \b
    Example:
      quantkit quantize float32.onnx --preset static-int8 --audio calibration_data -o int8.onnx
      quantkit quantize float32.onnx --preset all --audio calibration_data -o build/
      quantkit quantize float32.onnx --compute dynamic --exclude 1 --exclude -1 -o custom.onnx
    """
    if (preset is None) == (compute is None):
        raise click.UsageError("give either --preset or --compute")
    if preset == "all":
        chosen = list(PRESETS.values())
    elif preset is not None:
        chosen = [PRESETS[preset]]
    else:
        chosen = [QuantizeSettings(compute=cast(Compute, compute))]
    family = [
        replace(
            settings,
            exclude=settings.exclude + exclude,
            range=cast(RangeMethod, range_method),
            percentile=percentile,
        )
        for settings in chosen
    ]
    corpus = None
    if audio is not None:
        clips_heard = open_selected(audio, speaker, gender, language, max_seconds)
        corpus = clips_heard.part(split, usually="calibration").sample(clips)
    with _progress(corpus, family) as advance:
        if preset == "all":
            results = list(quantize_family(model, output, family, corpus, progress=advance))
        else:
            results = [quantize_model(model, output, family[0], corpus, progress=advance)]
    if as_json:
        rows = [_json(result) for result in results]
        click.echo(json.dumps(rows if preset == "all" else rows[0], indent=2))
        return
    for result in results:
        _report(result)


@contextmanager
def _progress(corpus: Corpus | None, family: list[QuantizeSettings]) -> Iterator[Any]:
    console = Console(stderr=True)
    static = sum("static" in (s.compute, *s.operators.values()) for s in family)
    if corpus is None or not static or not console.is_terminal:
        yield None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("calibrating", total=static * len(corpus))
        yield lambda _clip: bar.advance(task)


def _report(result: QuantizeResult) -> None:
    ratio = result.source_bytes / result.size_bytes
    click.echo(
        f"{result.path}: {result.size_bytes / 1e6:.1f} MB ({ratio:.2f} times smaller), "
        f"{result.lint.summary()}"
    )
    for layer in result.layers:
        if layer.note:
            click.echo(f"  {layer.name} stays float32: {layer.note}", err=True)
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
        "preset": result.settings.name,
        "size_bytes": result.size_bytes,
        "source_bytes": result.source_bytes,
        "onnxruntime": result.lint.onnxruntime,
        "skipped_clips": list(result.skipped),
        "layers": [
            layer.to_row() | {"kernel": row.kernel, "status": row.status, "remark": row.remark}
            for layer, row in zip(result.layers, result.lint.rows, strict=True)
        ],
    }

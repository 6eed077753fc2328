"""``quantkit bench``: what each model costs, and what it still hears."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from quantkit.benchmarking import run
from quantkit.benchmarking.page import write_page
from quantkit.benchmarking.schema import BenchReport, write_report
from quantkit.benchmarking.settings import DEFAULT_BATCH_SIZES, BenchSettings
from quantkit.benchmarking.tables import corpus_line, tables_of, write_markdown
from quantkit.cli.corpus_options import corpus_options, open_selected
from quantkit.cli.decoder_options import decoder_options, pop_decoding
from quantkit.errors import OutputError
from quantkit.report.table import to_rich

# What tables may take where there is no terminal to ask.
_WIDTH_OF_A_FILE = 160


def _numbers(minimum: int) -> Callable[..., tuple[int, ...]]:
    """A callback that reads ``1,8,16``; ``all`` stands for 0."""

    def read(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
        try:
            numbers = tuple(0 if part.strip() == "all" else int(part) for part in value.split(","))
        except ValueError:
            raise click.BadParameter(
                f"{value!r} is not a list of whole numbers such as 1,8,16"
            ) from None
        if min(numbers) < minimum:
            raise click.BadParameter(f"{value!r} holds a number below {minimum}")
        return numbers

    return read


@click.command(name="bench")
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of a corpus: manifest.tsv, LibriSpeech, Speech Commands, NumPy, or audio files.",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for bench.json, report.md and index.html; without it only tables are printed.",
)
@click.option(
    "--split",
    default="",
    help="Split of the corpus, or `all`; by default `test` where the corpus has one.",
)
@corpus_options
@decoder_options(default="beam")
@click.option(
    "--batch-sizes",
    metavar="N,N,…",
    callback=_numbers(minimum=1),
    default=",".join(map(str, DEFAULT_BATCH_SIZES)),
    show_default=True,
    help="For latency and for accuracy by batch size.",
)
@click.option(
    "--threads",
    metavar="N,N,…",
    callback=_numbers(minimum=0),
    default="1,all",
    show_default=True,
    help="Numbers of threads; the first is used for accuracy and memory.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Use at most this many utterances, drawn at random.",
)
@click.option(
    "--sweep",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    help="Utterances for accuracy by batch size; 0 leaves it out.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of every random choice.")
@click.option("--json", "as_json", is_flag=True, help="Print bench.json instead of tables.")
def command(
    models: tuple[Path, ...],
    data: Path,
    report: Path | None,
    split: str,
    speaker: str | None,
    gender: str | None,
    language: str | None,
    max_seconds: float | None,
    batch_sizes: tuple[int, ...],
    threads: tuple[int, ...],
    limit: int | None,
    sweep: int,
    seed: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure MODELS side by side; speed-ups are against the first.

    \b
    Example:
      quantkit bench float32.onnx static-int8.onnx --data calibration_data --report report
      quantkit bench *.onnx --data LibriSpeech/dev-clean --decoder greedy --limit 200
      quantkit bench *.onnx --data calibration_data --gender f --max-seconds 4
      quantkit bench model.onnx --data clips --batch-sizes 1 --threads 1,2,4 --json
      quantkit bench whisper/*.onnx --data clips --language de --threads 1
    """
    settings = BenchSettings(
        decoding=pop_decoding(options, language),
        split=split,
        batch_sizes=batch_sizes,
        threads=threads,
        limit=limit or 0,
        sweep_utterances=sweep,
        seed=seed,
    )
    corpus = open_selected(data, speaker, gender, language, max_seconds)
    if report is not None:
        _make_writable(report)
    with _progress() as progress:
        found = run.run_bench(models, corpus, settings, progress)
    # What took minutes to measure is shown before anything can go wrong with writing it.
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(found)
    if report is not None:
        write_report(found, report / "bench.json")
        write_markdown(found, report / "report.md")
        write_page(found, report / "index.html")
        written = f"written: {report / 'index.html'}, bench.json and report.md beside it"
        click.echo(written, err=as_json)


def _make_writable(folder: Path) -> None:
    """Create ``folder`` and put a file into it, so that a long run is not lost at its end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error


def _print(report: BenchReport) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_OF_A_FILE)
    console.print(escape(corpus_line(report)), soft_wrap=True)
    for note in report.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    # The last table is as wide as there are models; it stands in the report.
    for table in tables_of(report)[:-1]:
        console.print()
        console.print(to_rich(table, console))


@contextmanager
def _progress() -> Iterator[run.Progress]:
    """A bar per stage on standard error, and none where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bars:
        stages = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total)
            bars.update(stages[stage], completed=done, total=total)

        yield show

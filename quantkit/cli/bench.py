"""``quantkit bench``: what each model costs, and what it still hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
from rich.markup import escape

from quantkit.api.bench import bench
from quantkit.api.defaults import MEASURED_SPLIT
from quantkit.api.slicing import wanted_slices
from quantkit.audio.augmentation.alteration import NAMES
from quantkit.benchmarking.schema import BenchReport
from quantkit.benchmarking.settings import DEFAULT_BATCH_SIZES, BenchSettings
from quantkit.benchmarking.tables import corpus_line, tables_of
from quantkit.cli.corpus_options import CorpusOptions, corpus_options, split_option
from quantkit.cli.decoder_options import DecoderOptions, decoder_options
from quantkit.cli.framework import Argument, Command, NumberList, OutputFolder, begin_work, echo
from quantkit.cli.progress import progress_bar
from quantkit.cli.slice_options import SliceOptions, slice_options
from quantkit.cli.streams import echo_json
from quantkit.report.terminal import print_report_table, terminal_console
from quantkit.text.normalizations import NORMALIZATIONS


@click.command(
    name="bench",
    cls=Command,
    first=("report", "split", "by", "decoder", "limit", "threads", "as_json"),
    dry_run=True,
)
@click.argument(
    "models",
    cls=Argument,
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    help="The .onnx to measure; the first is what the others are compared with.",
)
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder of a corpus, or a table of clips: manifest.tsv, Common Voice, NeMo, LibriSpeech …",
)
@click.option(
    "--report",
    type=OutputFolder("bench.json", "report.md", "index.html"),
    metavar="FOLDER",
    help="Folder for bench.json, report.md and index.html; without it only tables are printed.",
)
@split_option(MEASURED_SPLIT)
@corpus_options
@decoder_options(default="beam")
@click.option(
    "--normalize",
    type=click.Choice(tuple(NORMALIZATIONS)),
    help="What is made equal before texts are compared: letters typed differently (nfkc), case "
    "and signs too (basic), what was published with Whisper, or nothing but spaces.  [default: "
    "towards the labels; Whisper: published]",
)
@click.option(
    "--batch-sizes",
    type=NumberList(minimum=1),
    default=",".join(map(str, DEFAULT_BATCH_SIZES)),
    show_default=True,
    help="For latency and for accuracy by batch size.",
)
@click.option(
    "--threads",
    type=NumberList(minimum=0, all_is=0),
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
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of every random choice.",
)
@slice_options
@click.option(
    "--add",
    default="",
    metavar="SOUND,SOUND",
    help=f"Add sounds to all clips, with the seed: {NAMES}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print bench.json instead of tables.")
def command(
    models: tuple[Path, ...],
    data: Path,
    report: Path | None,
    split: tuple[str, ...],
    corpus: CorpusOptions,
    decoder: DecoderOptions,
    normalize: str | None,
    batch_sizes: tuple[int, ...],
    threads: tuple[int, ...],
    limit: int | None,
    sweep: int,
    seed: int,
    slicing: SliceOptions,
    add: str,
    as_json: bool,
) -> None:
    """Measure MODELS side by side; speed-ups are against the first.

    \b
    Example:
      quantkit bench float32.onnx static-int8.onnx --data calibration_data --report report
      quantkit bench *.onnx --data LibriSpeech/dev-clean --decoder greedy --limit 200
      quantkit bench *.onnx --data calibration_data --gender f --max-seconds 4
      quantkit bench *.onnx --data calls --by language,length:5/20,noise --report report
      quantkit bench model.onnx --data clips --batch-sizes 1 --threads 1,2,4 --json
      quantkit bench whisper/*.onnx --data clips --language de --threads 1
    """
    settings = BenchSettings(
        decoding=decoder.decoding(),
        normalization=normalize or "",
        batch_sizes=batch_sizes,
        threads=threads,
        sweep_utterances=sweep,
        seed=seed,
    )
    wanted = wanted_slices(slicing.by, slicing.rare_words)
    settings = replace(settings, by=wanted.by, rare_words=wanted.rare_words)
    with progress_bar("opening models") as tell:
        bench(
            models,
            data,
            report=report,
            selection=corpus.selection(split, limit),
            settings=settings,
            add=add,
            begin=begin_work,
            progress=tell,
            # What took minutes to measure is shown before anything can go wrong with writing it.
            finished=lambda found: _show(found, as_json),
        )
    if report is not None:
        written = f"written: {report / 'index.html'}, bench.json and report.md beside it"
        echo(written, err=as_json)


def _show(report: BenchReport, as_json: bool) -> None:
    if as_json:
        echo_json(report.to_dict())
    else:
        _print(report)


def _print(report: BenchReport) -> None:
    console = terminal_console()
    console.print(escape(corpus_line(report)), soft_wrap=True)
    for note in report.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    # The last table is as wide as there are models; it stands in the report.
    for table in tables_of(report)[:-1]:
        console.print()
        print_report_table(table, console)

"""``quantkit gate``: fail when a model got worse than its baseline."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from quantkit.api.added_sounds import AddedSounds
from quantkit.api.gate import gate, update_baseline
from quantkit.api.tolerances import (
    CRITERION_NAMES,
    parse_criteria,
    parse_slice_tolerances,
    parse_tolerances,
)
from quantkit.audio.augmentation.alteration import NAMES
from quantkit.benchmarking import gate_report
from quantkit.benchmarking.held import GateOptions
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.progress import progress_bar
from quantkit.cli.streams import echo_json
from quantkit.text.normalizations import NORMALIZATIONS

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="gate", cls=Command, dry_run=True)
@click.argument(
    "bench",
    cls=Argument,
    nargs=-1,
    required=True,
    type=_FILE,
    help="The bench.json of this run; of several corpora, one of each.",
)
@click.option(
    "--baseline",
    "baselines",
    type=_FILE,
    metavar="FILE",
    multiple=True,
    help="What was accepted: baseline.json. Of several runs, one for each, in their order.",
)
@click.option(
    "--against",
    metavar="MODEL",
    default="",
    help="In place of a baseline: hold all models of a run to this one of them, such as float32.",
)
@click.option(
    "--criteria",
    metavar="NAME,NAME",
    help=f"What models are held to: {', '.join(CRITERION_NAMES)}.  [default: edits,size,speed; "
    "without transcripts changed,divergence,size,speed]",
)
@click.option(
    "--tolerance",
    multiple=True,
    metavar="NAME=SHARE",
    help="How much worse a model may be, such as edits=2%+0.02, in place of the baseline's; "
    "repeatable.",
)
@click.option("--only", multiple=True, metavar="MODEL", help="Check only this model; repeatable.")
@click.option("--strict", is_flag=True, help="A model that the baseline does not know fails.")
@click.option(
    "--by",
    multiple=True,
    metavar="NAME,NAME",
    help="Hold each slice of the clips, too; see `quantkit bench`.  [default: as the run has it]",
)
@click.option(
    "--slice-tolerance",
    multiple=True,
    metavar="[SLICE=]SHARE",
    help="How much worse a slice may be, such as 5%, language=5% or language:de=10%+0.1; "
    "repeatable.  [default: that of the criterion]",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    metavar="RATE",
    help="Share of runs in which any slice fails though none got worse, at most.",
)
@click.option(
    "--add",
    multiple=True,
    metavar="SOUND,SOUND",
    help="Hear the models once more with sounds added to the clips of --data, and hold their "
    f"texts to --against: {NAMES}; repeatable.",
)
@click.option(
    "--add-seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of what is added.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="--add: the corpus that the run was measured on.",
)
@click.option(
    "--junit",
    type=OutputFile(".xml"),
    metavar="FILE",
    help="Write one test case per check (.xml), for a CI viewer.",
)
@click.option(
    "--summary",
    # The file that a CI job shows may have any name.
    type=OutputFile(),
    metavar="FILE",
    help="Write a Markdown table, for a pull request.",
)
@click.option(
    "--normalize",
    type=click.Choice(tuple(NORMALIZATIONS)),
    help="Refuse a run that did not compare texts this way; see `quantkit bench`.",
)
@click.option("--update", is_flag=True, help="Accept this run: renew the baseline's figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    bench: tuple[Path, ...],
    baselines: tuple[Path, ...],
    against: str,
    criteria: str | None,
    tolerance: tuple[str, ...],
    only: tuple[str, ...],
    strict: bool,
    by: tuple[str, ...],
    slice_tolerance: tuple[str, ...],
    false_alarms: float,
    add: tuple[str, ...],
    add_seed: int,
    data: Path | None,
    junit: Path | None,
    summary: Path | None,
    normalize: str | None,
    update: bool,
    as_json: bool,
) -> None:
    """Hold BENCH (a bench.json) against a baseline, or against a model of the same run.

    Exit code 1 when an edit distance, file size or speed-up is worse by more than its tolerance and
    the noise, on all clips or on a slice of them; 2 when the two cannot be compared.

    \b
    Example:
      quantkit bench float32.onnx int8.onnx --data calibration_data --report report
      quantkit gate report/bench.json --baseline baseline.json --update
      quantkit gate report/bench.json --baseline baseline.json --junit gate.xml --summary gate.md
      quantkit gate report/bench.json --against float32 --by language,length:20,words
      quantkit gate report/bench.json --against float32 --add noise:10dB,reverb --data clips
      quantkit gate en/bench.json de/bench.json --against float32 --criteria wer,size \
        --slice-tolerance 5%
    """
    if not baselines and not against:
        raise click.UsageError("name a baseline with --baseline, or a model with --against")
    if bool(add) != (data is not None):
        raise click.UsageError("--add and --data go together: sounds, and the clips to add them to")
    options = GateOptions(
        criteria=parse_criteria(criteria) if criteria is not None else (),
        only=only,
        strict=strict,
        tolerances=parse_tolerances(tolerance),
        by=by or None,
        slice_tolerances=parse_slice_tolerances(slice_tolerance),
        false_alarms=false_alarms,
    )
    if update:
        _accept(bench, baselines, as_json)
    with progress_bar("listening") if add else nullcontext() as tell:
        result = gate(
            bench,
            baselines or None,
            against=against,
            options=options,
            added=None if data is None else AddedSounds(data, add, add_seed),
            junit=junit,
            summary=summary,
            normalization=normalize or "",
            begin=begin_work,
            progress=tell,
        )
    if as_json:
        echo_json(result.to_dict())
    else:
        gate_report.print_checks(result)
        if result.ungated:
            echo(f"not in the baseline, so not gated: {', '.join(result.ungated)}")
    result.require()


def _accept(bench: tuple[Path, ...], baselines: tuple[Path, ...], as_json: bool) -> None:
    if len(bench) != len(baselines):
        raise click.UsageError("--update takes one --baseline for each bench.json")
    for run, baseline in zip(bench, baselines, strict=True):
        accepted = update_baseline(run, baseline, begin=begin_work)
        echo(f"{baseline}: {len(accepted.models)} models accepted", err=as_json)
        if accepted.dropped:
            echo(f"no longer gated: {', '.join(accepted.dropped)}", err=as_json)

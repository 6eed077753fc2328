"""``quantkit gate``: fail when a model got worse than its baseline."""

from __future__ import annotations

from pathlib import Path

import click

from quantkit.api.gate import gate, update_baseline
from quantkit.benchmarking import gate_report
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work, echo
from quantkit.cli.streams import echo_json
from quantkit.text.normalizations import NORMALIZATIONS

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(name="gate", cls=Command, dry_run=True)
@click.argument("bench", cls=Argument, type=_FILE, help="The bench.json of this run.")
@click.option(
    "--baseline",
    type=_FILE,
    metavar="FILE",
    required=True,
    help="What was accepted: baseline.json.",
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
    bench: Path,
    baseline: Path,
    junit: Path | None,
    summary: Path | None,
    normalize: str | None,
    update: bool,
    as_json: bool,
) -> None:
    """Hold BENCH (a bench.json) against a baseline.

    Exit code 1 when an edit distance, file size or speed-up is worse by more than the baseline's
    tolerance and the noise; 2 when the two cannot be compared.

    \b
    Example:
      quantkit bench float32.onnx int8.onnx --data calibration_data --report report
      quantkit gate report/bench.json --baseline baseline.json --update
      quantkit gate report/bench.json --baseline baseline.json --junit gate.xml --summary gate.md
    """
    if update:
        accepted = update_baseline(bench, baseline, begin=begin_work)
        echo(f"{baseline}: {len(accepted.models)} models accepted", err=as_json)
        if accepted.dropped:
            echo(f"no longer gated: {', '.join(accepted.dropped)}", err=as_json)
    result = gate(
        bench,
        baseline,
        junit=junit,
        summary=summary,
        normalization=normalize or "",
        begin=begin_work,
    )
    if as_json:
        echo_json(result.to_dict())
    else:
        gate_report.print_checks(result)
        if result.ungated:
            echo(f"not in the baseline, so not gated: {', '.join(result.ungated)}")
    result.require()

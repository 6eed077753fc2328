"""``quantkit gate``: fail when a model got worse than its baseline."""

from __future__ import annotations

import json
from pathlib import Path

import click

from quantkit.benchmarking import gate_report
from quantkit.benchmarking.baseline import Baseline, read_baseline, write_baseline
from quantkit.benchmarking.figures import read_figures
from quantkit.benchmarking.gate import compare
from quantkit.cli.framework import Argument, Command, OutputFile, begin_work

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
    type=OutputFile(".md"),
    metavar="FILE",
    help="Write a Markdown table (.md), for a pull request.",
)
@click.option("--update", is_flag=True, help="Accept this run: renew the baseline's figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    bench: Path,
    baseline: Path,
    junit: Path | None,
    summary: Path | None,
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
    figures = read_figures(bench)
    begin_work(
        f"{'accept' if update else 'hold'} {len(figures.models)} models of {bench} "
        f"{'as' if update else 'against'} {baseline}"
    )
    if update:
        earlier = read_baseline(baseline) if baseline.exists() else Baseline(figures)
        write_baseline(earlier.renewed(figures), baseline)
        click.echo(f"{baseline}: {len(figures.models)} models accepted", err=as_json)
        if dropped := earlier.dropped(figures):
            click.echo(f"no longer gated: {', '.join(dropped)}", err=as_json)
    result = compare(figures, read_baseline(baseline))
    if junit is not None:
        gate_report.write_junit(result, junit)
    if summary is not None:
        gate_report.write_markdown(result, summary)
    if as_json:
        click.echo(json.dumps(gate_report.as_json(result), indent=2, ensure_ascii=False))
    else:
        gate_report.print_checks(result)
        if result.ungated:
            click.echo(f"not in the baseline, so not gated: {', '.join(result.ungated)}")
    result.require()

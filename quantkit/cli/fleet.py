"""``quantkit fleet``: one artifact for each user and budget."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from quantkit.api.defaults import ANALYSIS_CLIPS, CALIBRATION_SPLIT
from quantkit.api.fleet import FleetRequest, fleet, fleet_jobs
from quantkit.api.inputs import budget_bytes
from quantkit.audio.selection import Selection
from quantkit.cli.corpus_options import split_option
from quantkit.cli.fitting_options import FittingOptions, fitting_options
from quantkit.cli.framework import Argument, Command, begin_work, echo
from quantkit.cli.framework.state import state
from quantkit.cli.interface_options import keep_interface_option
from quantkit.cli.layer_options import LayerOptions, layer_options
from quantkit.cli.personal_options import PersonalOptions, personal_options
from quantkit.cli.progress import progress_bar, warn
from quantkit.cli.streams import echo_json
from quantkit.fleets.engine import FleetLimits
from quantkit.fleets.ray_engine import RayEngine
from quantkit.fleets.result import FleetResult, Tolerances
from quantkit.fleets.tables import budget_table, failure_table
from quantkit.fleets.users import BY, By
from quantkit.report.formatting import duration, megabytes
from quantkit.report.terminal import print_report_table, terminal_console


@click.command(
    name="fleet",
    cls=Command,
    first=(
        *("by", "max_divergence", "max_changed", "workers", "worker_memory"),
        *("split", "clips", "as_json"),
    ),
    alternatives=[("preset", "compute")],
    dry_run=True,
)
@click.argument(
    "users",
    cls=Argument,
    may_name_file=True,
    help="A table (.tsv or .csv) with columns user and audio, or with --by a corpus.",
)
@click.option(
    "--model",
    required=True,
    type=click.Path(path_type=Path),
    help="The float32 .onnx, or what is exported first.",
)
@click.option(
    "--budgets",
    required=True,
    metavar="SIZE,SIZE,…",
    help="What a file may take on disk: one for each size, such as 1.5MB,3MB.",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FOLDER",
    help="Folder or URL that gets artifacts, records and tables. What is there already is kept.",
)
@click.option(
    "--by", type=click.Choice(BY), help="The users are the values of this column of a corpus."
)
@click.option("--only", multiple=True, metavar="USER", help="Only this user; repeatable.")
@click.option(
    "--max-divergence",
    type=click.FloatRange(min=0),
    metavar="NATS",
    help="Fail where an artifact diverges more from float32 on its user's clips.",
)
@click.option(
    "--max-changed",
    type=click.FloatRange(min=0),
    metavar="PERCENT",
    help="Fail where more words of an artifact's text are not float32's.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Users side by side, each in a process of its own.  [default: one for each core]",
)
@click.option(
    "--worker-memory",
    metavar="SIZE",
    help="What a worker may hold, such as 2GB; one that needs more is ended, and its user tried "
    "again.",
)
@click.option(
    "--worker-threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Cores of each worker.",
)
@click.option(
    "--user-timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What all files of a user may take; then they are tried again.  [default: no limit]",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="How often a user is tried again after a worker died.",
)
@split_option(CALIBRATION_SPLIT)
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    default=ANALYSIS_CLIPS,
    show_default=True,
    help="Hear at most this many of each user, drawn with a fixed seed.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Only shorter clips.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="What runs the workers: this machine, or a Ray cluster (pip install 'quantkit[fleet]').",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="ray: of the cluster, such as auto or ray://head:10001.  [default: a new one here]",
)
@personal_options
@layer_options
@fitting_options
@keep_interface_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    users: str,
    model: Path,
    budgets: str,
    output: str,
    by: By | None,
    only: tuple[str, ...],
    max_divergence: float | None,
    max_changed: float | None,
    workers: int | None,
    worker_memory: str | None,
    worker_threads: int,
    user_timeout: float | None,
    retries: int,
    split: tuple[str, ...],
    clips: int,
    max_seconds: float | None,
    engine: str,
    address: str | None,
    personal: PersonalOptions,
    layers: LayerOptions,
    fitting: FittingOptions,
    keep_interface: bool | None,
    as_json: bool,
) -> int:
    """Make an artifact for each user and budget, and keep those that are there already.

    Artifacts are named by what they are made of, so the same command does nothing a second time;
    after a crash, or when users were added, it makes what is missing or damaged. fleet.tsv,
    fleet.json and fleet.html in FOLDER say what became of each. Exit code 1 where a user lacks a
    file, or a file is beyond a tolerance.

    \b
    Example:
      quantkit fleet users.tsv --model float32.onnx --budgets 1.5MB,3MB -o fleet
      quantkit fleet calibration_data --by speaker --model float32.onnx --budgets 2.5MB -o fleet
      quantkit fleet s3://voices/users.tsv --model float32.onnx --budgets 3MB -o s3://voices/fleet
    """
    sizes = [each.strip() for each in budgets.split(",")]
    settings = replace(personal.settings(layers, fitting), front=False)
    selection = Selection(split, max_seconds=max_seconds, clips=clips)
    memory = None if worker_memory is None else budget_bytes(worker_memory)
    if address is not None and engine != "ray":
        raise click.UsageError("--address is for --engine ray")
    limits = FleetLimits(workers, memory, user_timeout, retries)
    request = FleetRequest(
        users,
        model,
        sizes,
        output,
        by=by,
        only=only,
        selection=selection,
        settings=settings,
        keep_interface=keep_interface,
    )

    def begin(step: str) -> None:
        if state().dry_run:
            jobs = (f"{user}, {budget}: {what}" for user, budget, what in fleet_jobs(request))
            begin_work(step, *jobs)

    with progress_bar("opening the model") as tell:
        made = fleet(
            request,
            tolerances=Tolerances(
                max_divergence, None if max_changed is None else max_changed / 100
            ),
            limits=limits,
            engine=RayEngine(limits, address) if engine == "ray" else None,
            threads=worker_threads,
            begin=begin,
            progress=tell,
            notify=warn,
        )
    if as_json:
        echo_json(made.to_dict())
    else:
        _tell(made)
    for warning in made.warnings:
        warn(warning)
    return 0 if made.is_complete else 1


def _tell(made: FleetResult) -> None:
    counts = made.counts
    echo(
        f"{made.place}: {counts['made']:,} artifacts made, {counts['kept']:,} kept, "
        f"{counts['failed'] + counts['open']:,} missing; {megabytes(made.size_bytes)} MB for "
        f"{made.users:,} users, after {duration(made.seconds)}"
    )
    console = terminal_console()
    for table in (budget_table(made), failure_table(made)):
        if table is not None:
            print_report_table(table, console)
    echo(f"{made.place}/fleet.html: the same as a page; fleet.tsv and fleet.json: for programs")

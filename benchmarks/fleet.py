"""What a fleet costs from 10 to 1,000 users, and whether a killed one loses anything.

``python -m benchmarks.fleet`` makes a model of two layers and users with noise for audio, so that
what is measured is the fleet and hardly the analysis. Each size is a run of ``quantkit fleet`` with
one worker, in a folder of its own. In one more run a worker is killed with signal 9, and later the
driver; the same command is then run again. It renews its section of RESULTS.md, in a quarter of an
hour; ``--sizes 10,100`` is a shorter run. What a folder given by ``--work`` holds already is not
run again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from tests.fleets.small import arguments, records, write_model, write_users

_KILLED = 60


@dataclass(frozen=True)
class Run:
    """One run of a whole fleet.

    Args:
        users: how many, with one budget each.
        seconds: of the run, with what the worker takes to start.
        driver_mb, worker_mb: most memory that was seen, without what processes share.
    """

    users: int
    seconds: float
    driver_mb: float
    worker_mb: float

    @property
    def per_user(self) -> float:
        return self.seconds / self.users


@dataclass(frozen=True)
class Killed:
    """What a run that was killed twice came to.

    Args:
        users: how many.
        before: artifacts that were there when the driver was killed.
        again: those that the second run made.
        rewritten: of those that were there before.
        missing: after the second run.
        differing: artifacts whose bytes are not those of a run that was not disturbed.
    """

    users: int
    before: int
    again: int
    rewritten: int
    missing: int
    differing: int


def start(work: Path, table_path: Path, output: Path) -> subprocess.Popen[str]:
    """``quantkit fleet`` with one worker."""
    words = arguments(table_path, work / "float32.onnx", output, "--workers", 1, "--quiet")
    code = "import sys; from quantkit.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.DEVNULL, text=True, cwd=ROOT
    )


def users_of(work: Path, count: int) -> Path:
    """A table of so many users with two clips each."""
    folder = work / f"users-{count}"
    if not (folder / "users.tsv").exists():
        folder.mkdir(parents=True)
        write_users(folder, [f"user{number:04}" for number in range(count)])
    return folder / "users.tsv"


def own_memory(process: psutil.Process) -> int:
    """Bytes that it shares with no other."""
    try:
        found = process.memory_info()
    except psutil.Error:
        return 0
    return int(found.rss - getattr(found, "shared", 0))


def measure(work: Path, count: int) -> Run:
    """A fleet of ``count`` users, from nothing."""
    kept, output = work / f"run-{count}.json", work / f"out-{count}"
    if kept.exists():
        return Run(**json.loads(kept.read_text()))
    shutil.rmtree(output, ignore_errors=True)
    process = start(work, users_of(work, count), output)
    driver, most = psutil.Process(process.pid), {"driver": 0, "worker": 0}
    while process.poll() is None:
        most["driver"] = max(most["driver"], own_memory(driver))
        for child in driver.children():
            most["worker"] = max(most["worker"], own_memory(child))
        time.sleep(0.2)
    if process.returncode:
        raise click.ClickException(f"a run of {count} users ended with code {process.returncode}")
    seconds = json.loads((output / "fleet.json").read_text())["seconds"]
    run = Run(count, seconds, most["driver"] / 1e6, most["worker"] / 1e6)
    kept.write_text(json.dumps(asdict(run)))
    return run


def measure_killed(work: Path, undisturbed: Path) -> Killed:
    """Kill the worker at a third and the driver at two thirds, and run it again."""
    table_path, output = users_of(work, _KILLED), work / "out-killed"
    # Of a benchmark that was interrupted.
    shutil.rmtree(output, ignore_errors=True)
    process = start(work, table_path, output)
    driver = psutil.Process(process.pid)
    wait_for(output, _KILLED // 3, process)
    for child in driver.children():
        child.kill()
    wait_for(output, 2 * _KILLED // 3, process)
    process.kill()
    process.wait()
    time.sleep(2)
    before = records(output)
    again = start(work, table_path, output)
    again.wait()
    after = records(output)
    found = json.loads((output / "fleet.json").read_text())
    artifacts = {path.name: path.read_bytes() for path in output.glob("artifacts/*/*.onnx")}
    others = {path.name: path.read_bytes() for path in undisturbed.glob("artifacts/*/*.onnx")}
    return Killed(
        users=_KILLED,
        before=len(before),
        again=found["counts"]["made"],
        rewritten=sum(after.get(name) != written for name, written in before.items()),
        missing=_KILLED - len(after),
        differing=sum(others.get(name) != content for name, content in artifacts.items()),
    )


def wait_for(output: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Until so many artifacts are there."""
    while len(records(output)) < count:
        if process.poll() is not None:
            raise click.ClickException("the run ended too early")
        time.sleep(0.02)


def report(runs: list[Run], killed: Killed) -> str:
    """The section of RESULTS.md."""
    rows = []
    for before, run in zip([None, *runs], runs, strict=False):
        more = "–"
        if before is not None:
            more = f"{(run.seconds - before.seconds) / (run.users - before.users):.2f}"
        rows.append(
            [
                f"{run.users:,}",
                f"{run.seconds:.0f}",
                f"{run.per_user:.2f}",
                more,
                f"{3600 / run.per_user:,.0f}",
                f"{run.driver_mb:.0f}",
                f"{run.worker_mb:.0f}",
            ]
        )
    header = ["users", "s", "s per user", "s per user more", "users per hour and core"]
    return "\n\n".join(
        [
            "## A fleet from 10 users on",
            "`python -m benchmarks.fleet`: a model of two convolutions (54 kB), two clips of noise "
            "and one budget for each user, two codecs to choose from, one worker on one core. The "
            "time of a run has that of starting a worker in it. So this is what a fleet adds to "
            "analysing: a real model takes minutes for a user, see above. Memory is that which "
            f"processes do not share. {host()}.",
            table([*header, "driver, MB", "worker, MB"], rows),
            f"A fleet of {killed.users} users whose worker was killed at a third, and whose driver "
            f"at two thirds: {killed.before} artifacts were there, the same command made "
            f"{killed.again} more. Of those that were there it wrote {killed.rewritten} again; "
            f"{killed.missing} are missing, and {killed.differing} differ from those of a run that "
            "nothing disturbed.",
        ]
    )


@click.command()
@click.option("--sizes", default="10,100,300,1000", show_default=True)
@click.option("--work", type=click.Path(path_type=Path), help="Folder that keeps what was run.")
def main(sizes: str, work: Path | None) -> None:
    """Measure, renew the section, and fail if anything was lost or done twice."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "float32.onnx").exists():
            write_model(folder)
        runs = [measure(folder, int(size)) for size in sizes.split(",")]
        measure(folder, _KILLED)
        killed = measure_killed(folder, folder / f"out-{_KILLED}")
    replace_section("fleet", report(runs, killed))
    for run in runs:
        click.echo(f"{run.users} users: {run.seconds:.1f} s, {run.per_user:.2f} s per user")
    click.echo(str(killed))
    if killed.rewritten or killed.missing or killed.differing:
        raise click.ClickException("something was lost, or done twice")


if __name__ == "__main__":
    main()

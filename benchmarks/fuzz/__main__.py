"""Thousands of damaged and odd inputs: ``python -m benchmarks.fuzz --cases 20000 --seed 0``.

Every case must end with the right result or with an error of ours, within 20 seconds of processor
time and 1 GB: no traceback, no crash, no hang, no wrong result in silence. Nothing may open a
socket, write outside the case's folder, or leave temporary files. What is right is known from how
an input was made; each kind's module says it. ``--kind KIND --case N`` runs one case again; inputs
of failed cases are kept.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.fuzz.kinds import KINDS
from benchmarks.fuzz.pool import Job, run_jobs
from benchmarks.fuzz.worker import MEMORY_LIMIT, SECONDS_LIMIT, Report
from benchmarks.results import host, replace_section, table
from quantkit.telemetry import switch_off_telemetry

_COUNTED = ("refused", "right", "failed")
_HEADER = ("kind", "cases", *_COUNTED, "seconds", "longest")
_TOLD_EVERY = 250


def jobs_of(cases: int, kinds: Sequence[str]) -> list[Job]:
    """``cases`` in all, of each kind its share and at least one, mixed evenly.

    >>> len(jobs_of(500, tuple(KINDS)))
    500
    """
    shares = {name: KINDS[name].share for name in kinds}
    whole = sum(shares.values())
    counts = {name: max(1, cases * share // whole) for name, share in shares.items()}
    largest = max(counts, key=counts.__getitem__)
    counts[largest] = max(1, counts[largest] + cases - sum(counts.values()))
    places = (((n + 0.5) / count, name, n) for name, count in counts.items() for n in range(count))
    return [(name, number) for _, name, number in sorted(places)]


def prepared(kinds: Sequence[str], folder: Path) -> None:
    """The unharmed inputs of the kinds, and of those whose inputs they take."""
    folder.mkdir(parents=True)
    needed = {*kinds, *({"artifacts", "documents", "bundles"} if "command-lines" in kinds else ())}
    if "corpora" in needed or "labels" in needed:
        needed.add("artifacts")
    for name, kind in KINDS.items():
        if name in needed:
            kind.prepare(folder)


def summary(reports: Sequence[Report]) -> list[list[str]]:
    """Rows by kind, and one for all: cases, outcomes, seconds in all and of the longest case."""
    by_kind = {name: [each for each in reports if each.kind == name] for name in KINDS}
    return [_row(name, each) for name, each in {**by_kind, "all": reports}.items() if each]


def _row(name: str, reports: Sequence[Report]) -> list[str]:
    outcomes = Counter(report.outcome for report in reports)
    seconds = [report.seconds for report in reports]
    counts = (len(reports), *(outcomes[each] for each in _COUNTED))
    return [name, *(f"{n:,}" for n in counts), f"{sum(seconds):,.0f}", f"{max(seconds):.1f}"]


def section(cases: int, seed: int, minutes: float, workers: int, printed: str) -> str:
    """What RESULTS.md says of a run, with the table that was ``printed``."""
    return f"""## Damaged and odd inputs

`python -m benchmarks.fuzz --cases {cases} --seed {seed}`: {minutes:.0f} minutes with {workers}
processes. {host()}.

*Refused* is an error of quantkit's own in one line; *right* is what the unharmed input gives, or
what the changed one says. Everything else has failed: a traceback, a crash, a wrong result, more
than {SECONDS_LIMIT:.0f} s of processor time, more than {MEMORY_LIMIT / 1e9:.0f} GB, a file that is
left behind, a connection. Seconds are of processor time, of all cases of a kind and of the longest.

{printed}"""


@click.command()
@click.option("--cases", type=click.IntRange(min=1), default=20_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)))
@click.option("--case", "number", type=click.IntRange(min=0), help="This one of --kind alone.")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what failed.")
@click.option("--record", is_flag=True, help="Write the table into RESULTS.md.")
def main(
    cases: int,
    seed: int,
    kinds: tuple[str, ...],
    number: int | None,
    workers: int,
    out: Path | None,
    record: bool,
) -> None:
    """Run the cases, print those that failed and a table, and fail if any did."""
    chosen = kinds or tuple(KINDS)
    if number is not None and len(kinds) != 1:
        raise click.UsageError("--case is one of a --kind")
    jobs = jobs_of(cases, chosen) if number is None else [(kinds[0], number)]
    out = out or Path(tempfile.mkdtemp(prefix="fuzz-"))
    out.mkdir(parents=True, exist_ok=True)
    switch_off_telemetry()
    reports: list[Report] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        home = Path(temporary).resolve()
        prepared(chosen, home / "seeds")
        for report in run_jobs(jobs, seed, home / "seeds", home, out.resolve(), workers):
            reports.append(report)
            if report.outcome == "failed" or number is not None:
                click.echo(
                    f"{report.outcome}: --seed {seed} --kind {report.kind!r} "
                    f"--case {report.number}: {report.reason}"
                )
            if len(reports) % _TOLD_EVERY == 0:
                click.echo(f"{len(reports):,} of {len(jobs):,} cases", err=True)
    failed = sum(report.outcome == "failed" for report in reports)
    minutes = (time.monotonic() - started) / 60
    printed = table(_HEADER, summary(reports))
    click.echo(f"{printed}\n\n{minutes:.0f} minutes, {workers} processes")
    if record:
        replace_section("fuzz", section(cases, seed, minutes, workers, printed))
    if failed:
        raise click.ClickException(f"{failed} cases failed; their inputs are in {out}")
    shutil.rmtree(out) if not any(out.iterdir()) else None


if __name__ == "__main__":
    main()

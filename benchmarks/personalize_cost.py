"""What personalising costs: seconds and memory, for the shipped model and a Wav2Vec2-Base.

Run it from the repository after ``make export``, with nothing else running: ``python -m
benchmarks.personalize_cost --data FOLDER``, with ``librispeech/`` in the folder. It renews its
section of RESULTS.md and fails if a promise is broken. The Wav2Vec2-Base has random weights: what
it costs is the same.

Seconds differ by 1.4 times between hosts. ``--against FOLDER`` therefore runs an older checkout in
turn with this one, on the same inputs, and asks for its processor time: ``--rounds`` of both, 10
clips for each model. Older code must have a ``benchmarks.personalize_cost`` of its own.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.audio.corpora import open_corpus
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.calibration.calibrate import Feed
from quantkit.graph.artifact import total_size
from quantkit.personalization.pipeline import personalize

SHIPPED = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Clips, and the budget in bytes.
RUNS = ((10, 2_300_000), (32, 2_300_000), (100, 2_300_000))
LARGE_RUNS = ((10, 60_000_000),)
#: Seconds and multiples of the float model that are promised.
SHIPPED_SECONDS = 60
LARGE_SECONDS = 300
MEMORY_FACTOR = 4
#: Processor time of what ``--against`` runs, over which this code must not go: a share.
PROCESSOR_SHARE = 0.7


@dataclass(frozen=True)
class Cost:
    """Of one run in a process of its own.

    Args:
        model: what tables call it.
        source_bytes: of the float model.
        clips, audio_seconds: that were heard.
        steps: seconds by step.
        processor_seconds: of all threads, with what Python takes to start.
        peak_bytes: of resident memory, mapped files included.
    """

    model: str
    source_bytes: int
    clips: int
    audio_seconds: float
    steps: dict[str, float]
    processor_seconds: float
    peak_bytes: int

    @property
    def seconds(self) -> float:
        return sum(self.steps.values())

    @property
    def memory_factor(self) -> float:
        """Peak memory in sizes of the float model."""
        return self.peak_bytes / self.source_bytes


class Waveforms:
    """The clips of a corpus as Wav2Vec2 takes them: with mean 0 and variance 1."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus

    def __iter__(self) -> Iterator[Feed]:
        for utterance in self.corpus:
            assert utterance.path is not None
            wave = read_audio(utterance.path)
            normal = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
            yield utterance.identifier, {"waveform": normal[None].astype(np.float32)}


def measure(source: Path, data: Path, clips: int, budget: int) -> Cost:
    """Personalise in this process, which should do nothing else."""
    corpus = open_corpus(data / "librispeech").select(split="train").sample(clips, 0)
    shipped = source == SHIPPED
    with tempfile.TemporaryDirectory() as folder:
        destination = Path(folder) / "user.onnx"
        made = personalize(source, destination, corpus if shipped else Waveforms(corpus), budget)
    return Cost(
        model="shipped" if shipped else "Wav2Vec2-Base",
        source_bytes=total_size(source),
        clips=made.summary.clips,
        audio_seconds=sum(len(read_audio(each.path)) for each in corpus if each.path) / 16_000,
        steps={step.name: step.seconds for step in made.summary.steps},
        processor_seconds=time.process_time(),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


def report(costs: Sequence[Cost]) -> str:
    """The section of RESULTS.md."""
    rows = [
        [
            f"{cost.model}, {cost.clips} clips ({cost.audio_seconds:.0f} s)",
            *(f"{seconds:.1f}" for seconds in cost.steps.values()),
            f"{cost.seconds:.0f}",
            f"{cost.processor_seconds:.0f}",
            f"{cost.peak_bytes / 1e6:,.0f}",
            f"{cost.memory_factor:.1f}×",
        ]
        for cost in costs
    ]
    steps = [f"{name}, s" for name in costs[0].steps]
    header = ["model", *steps, "all, s", "processor, s", "peak MB", "of the float model"]
    return "\n\n".join(
        [
            "## What personalising costs",
            "`python -m benchmarks.personalize_cost --data FOLDER`: `personalize` with nothing in "
            "a cache, on clips of LibriSpeech, each run in a process of its own; peak resident "
            "memory with Python, libraries and mapped files. Promised: the shipped model under "
            f"{SHIPPED_SECONDS} s, Wav2Vec2-Base (random weights) under {LARGE_SECONDS} s and "
            f"under {MEMORY_FACTOR} times the float model. {host()}.",
            table(header, rows),
        ]
    )


def broken_promises(costs: Sequence[Cost]) -> list[str]:
    """In words."""
    broken = []
    for cost in costs:
        limit = SHIPPED_SECONDS if cost.model == "shipped" else LARGE_SECONDS
        if cost.seconds > limit:
            broken.append(f"{cost.model}, {cost.clips} clips: {cost.seconds:.0f} s > {limit} s")
        if cost.model != "shipped" and cost.memory_factor > MEMORY_FACTOR:
            broken.append(f"{cost.model}: {cost.memory_factor:.1f} times the float model in memory")
    return broken


@dataclass(frozen=True)
class Comparison:
    """Processor time of two checkouts that ran in turn.

    Args:
        model: what tables call it.
        old, new: seconds of each round.
    """

    model: str
    old: tuple[float, ...]
    new: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of the old time, the median over rounds of what the new code takes."""
        return statistics.median(n / o for o, n in zip(self.old, self.new, strict=True))


def comparison_table(comparisons: Sequence[Comparison]) -> str:
    """Processor seconds, medians, and the share."""
    rows = [
        [
            each.model,
            str(len(each.old)),
            f"{statistics.median(each.old):.1f}",
            f"{statistics.median(each.new):.1f}",
            f"{each.share:.2f}",
        ]
        for each in comparisons
    ]
    return table(["model", "rounds", "old, s", "new, s", "new / old"], rows)


def broken_comparisons(comparisons: Sequence[Comparison]) -> list[str]:
    """In words."""
    return [
        f"{each.model}: {each.share:.2f} of the processor time of before, not {PROCESSOR_SHARE}"
        for each in comparisons
        if each.share > PROCESSOR_SHARE
    ]


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An older checkout, to run in turn with this one; RESULTS.md stays as it is.",
)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--worker", nargs=3, type=(Path, int, int), default=None, hidden=True)
def main(
    data: Path, against: Path | None, rounds: int, worker: tuple[Path, int, int] | None
) -> None:
    """Personalise both models, renew RESULTS.md, and fail if a promise is broken."""
    if worker is not None:
        click.echo(json.dumps(asdict(measure(worker[0], data, *worker[1:]))))
        return
    if not SHIPPED.exists():
        raise click.ClickException(f"{SHIPPED} is missing: run `make export` first")
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "wav2vec2-base.onnx"
        _export(large)
        if against is not None:
            short = [(SHIPPED, *RUNS[0]), (large, *LARGE_RUNS[0])]
            compared = [_compared(data.resolve(), against.resolve(), rounds, *r) for r in short]
            click.echo(comparison_table(compared))
            if broken := broken_comparisons(compared):
                raise click.ClickException("; ".join(broken))
            return
        runs = [(SHIPPED, *run) for run in RUNS] + [(large, *run) for run in LARGE_RUNS]
        costs = [_measured(ROOT, data.resolve(), *run) for run in runs]
    section = report(costs)
    click.echo(section)
    replace_section("personalize-cost", section)
    if broken := broken_promises(costs):
        raise click.ClickException("; ".join(broken))


def _compared(
    data: Path, against: Path, rounds: int, source: Path, clips: int, budget: int
) -> Comparison:
    """Old and new in turn: what else the host does then weighs on both alike."""
    old: list[float] = []
    new: list[float] = []
    model = ""
    both = ((against, old), (ROOT, new))
    for number in range(rounds):
        for checkout, seconds in both if number % 2 == 0 else both[::-1]:
            cost = _measured(checkout, data, source, clips, budget)
            seconds.append(cost.processor_seconds)
            model = cost.model
    return Comparison(model, tuple(old), tuple(new))


def _measured(checkout: Path, data: Path, source: Path, clips: int, budget: int) -> Cost:
    """With the code of ``checkout``, in a process of its own."""
    # Code of before knows the shipped model by where it lies, and its checkout need not hold it.
    shipped = f"cost.SHIPPED = pathlib.Path({str(SHIPPED)!r})"
    call = "cost.main(sys.argv[1:])"
    code = f"import pathlib, sys; import benchmarks.personalize_cost as cost; {shipped}; {call}"
    worker = ["--data", str(data), "--worker", str(source), str(clips), str(budget)]
    done = subprocess.run(
        [sys.executable, "-c", code, *worker],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        check=True,
        capture_output=True,
        text=True,
    )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _export(destination: Path) -> None:
    """In a process of its own, so that PyTorch is not in memory beside the runs."""
    code = (
        "from pathlib import Path; from transformers import Wav2Vec2Config; "
        "from benchmarks.wav2vec2_base import export_base; "
        f"export_base(Path({str(destination)!r}), Wav2Vec2Config())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    main()

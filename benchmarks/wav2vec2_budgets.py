"""Wav2Vec2-Base at the sizes of the source work: parity, bytes on disk, and speed at each.

Run it from the repository with nothing else running: ``python -m benchmarks.wav2vec2_budgets
--data FOLDER``, with ``librispeech/`` in the folder. It takes about a quarter of an hour, needs
PyTorch and transformers for the export, renews its section of RESULTS.md, and fails where a file is
above its budget. "A Model for Every User and Budget" computed these sizes and stored one byte per
weight. The weights are random: sizes and times are those of trained ones, error rates cannot be
measured.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from transformers import Wav2Vec2Config

from benchmarks.results import host, replace_section, table
from benchmarks.wav2vec2_base import SAMPLE_RATE, SECONDS_OF_AUDIO, export_as_users_do
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.exporting.parity import ParityCase, check_parity
from quantkit.exporting.pretrained import TOLERANCE
from quantkit.exporting.references import PretrainedReference
from quantkit.graph.artifact import read_info, total_size
from quantkit.models.pretrained import load_pretrained
from quantkit.personalization.outliers import with_balance
from quantkit.planning.optimal import Optimum, optimal_plan
from quantkit.quantization import preset, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.session import create_session
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import DivergenceSettings
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.sensitivity.table import Sensitivity

MIB = 2**20
#: In MiB, those of the source work's figure.
BUDGETS = (58, 61, 65, 69, 73, 75, 79, 85, 90)
CALIBRATION_CLIPS = 10
#: Samples of the longest clip of a batch: from a single frame to ten seconds.
LENGTHS = (400, 4_000, 16_000, 48_000, 80_000, 160_000)
BATCHES = (1, 3)
#: Of those, for what a file diverges by.
COMPARED_CLIPS = 3
FLOAT = "float32"
#: In MiB; made once more with what `personalize` does where rounding a layer's input costs much.
SPARED = 75
SPARED_NAME = f"{SPARED} MiB, float products where grids cost much"


@dataclass(frozen=True)
class File:
    """One model.

    Args:
        bytes: on disk.
        foretold: divergence in nats per frame that the plan predicted; None of float32.
        measured: that of the file.
        widths: weights of each number of bits, in parts of all.
        milliseconds: of each run.
    """

    bytes: int
    foretold: float | None
    measured: float
    widths: Mapping[int, float]
    milliseconds: list[float]


def parity(folder: Path, source: Path) -> Sequence[ParityCase]:
    """The exported file against transformers, over lengths and sizes of batches."""
    loaded = load_pretrained(folder / "model")
    window = loaded.frontend.window
    reference = PretrainedReference(loaded.model, standardized=loaded.standardized, window=window)
    return check_parity(reference, source, LENGTHS, BATCHES, TOLERANCE).cases


@dataclass(frozen=True)
class Analysed:
    """What plans for any budget are made from.

    Args:
        prepared: the float model.
        feeds: the clips that calibrate.
        fitting: how numbers are found.
        sensitivity: of each layer to each codec.
    """

    prepared: PreparedModel
    feeds: CalibrationData
    fitting: PtqSettings
    sensitivity: Sensitivity

    def plan(self, budget_bytes: int, largest: float | None) -> Optimum:
        """The best for a file of at most ``budget_bytes``.

        Args:
            largest: divergence in nats from rounding an input at which its layer still computes in
                integers; None: as `personalize` has it.
        """
        return optimal_plan(
            self.prepared,
            budget_bytes,
            self.sensitivity,
            preset("hybrid"),
            max_input_divergence=largest,
            fitting=self.fitting,
        )


def analysed(source: Path, corpus: Corpus, cache: Path | None = None) -> Analysed:
    """Analyse a model on clips, as `personalize` does."""
    feeds = CalibrationData(corpus, read_info(source), source)
    prepared = PreparedModel.of(source)
    fitting = with_balance(prepared, feeds, preset("hybrid"), PtqSettings())
    asked = AnalysisSettings(metrics=(), fitting=fitting, divergence=DivergenceSettings())
    return Analysed(prepared, feeds, fitting, analyze(prepared, feeds, asked, cache=cache))


def make(source: Path, folder: Path, data: Path) -> dict[str, tuple[Path, float | None, float]]:
    """A file for each budget, from one analysis: its path, what was foretold of it, what it did."""
    corpus = open_corpus(data / "librispeech").select(split="train").sample(CALIBRATION_CLIPS, 0)
    known = analysed(source, corpus)
    compared = known.feeds.only(range(COMPARED_CLIPS))
    made: dict[str, tuple[Path, float | None, float]] = {FLOAT: (source, None, 0.0)}
    asked_for = [(f"{budget} MiB", budget, math.inf) for budget in BUDGETS]
    for name, budget, largest in (*asked_for, (SPARED_NAME, SPARED, None)):
        best = known.plan(budget * MIB, largest)
        path = folder / f"{len(made)}.onnx"
        quantize_model(known.prepared, path, best.plan, known.feeds)
        made[name] = path, best.divergence, model_divergence(known.prepared, path, compared).mean
        click.echo(f"{name}: {total_size(path):,} bytes", err=True)
    return made


def widths_of(path: Path) -> dict[int, float]:
    """Which part of the weights has how many bits."""
    plan = read_info(path).plan
    layers = [] if plan is None else plan["layers"]
    counts: dict[int, int] = {}
    for layer in layers:
        bits = int(layer["bits"])
        counts[bits] = counts.get(bits, 0) + math.prod(layer["shape"])
    return {bits: count / sum(counts.values()) for bits, count in sorted(counts.items())}


def measure(paths: Mapping[str, Path], seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each run, in turn, one thread."""
    waveform = np.random.default_rng(1).standard_normal(
        (1, SECONDS_OF_AUDIO * SAMPLE_RATE), np.float32
    )
    feed: dict[str, npt.NDArray[np.generic]] = {
        "waveform": waveform,
        "lengths": np.array([waveform.shape[1]]),
    }
    sessions = {name: create_session(path, threads=1) for name, path in paths.items()}
    for session in sessions.values():
        session.run(None, feed)
    times: dict[str, list[float]] = {name: [] for name in paths}
    end = time.perf_counter() + seconds
    while len(times[FLOAT]) < 5 or time.perf_counter() < end:
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, feed)
            times[name].append(1_000 * (time.perf_counter() - start))
    return times


def report(files: Mapping[str, File], cases: Sequence[ParityCase]) -> str:
    """The section of RESULTS.md."""
    base = files[FLOAT]
    rows = []
    for name, file in files.items():
        widths = ", ".join(f"{100 * part:.0f} % {bits}" for bits, part in file.widths.items())
        median = float(np.median(file.milliseconds))
        rows.append(
            [
                name,
                f"{file.bytes / MIB:.2f}",
                "" if file.foretold is None else f"{file.foretold:.2g}",
                "" if file.foretold is None else f"{file.measured:.2g}",
                widths,
                f"{median:.0f}",
                f"{np.median(base.milliseconds) / median:.2f}×",
            ]
        )
    header = [
        "budget",
        "MiB on disk",
        "foretold, nats",
        "measured",
        "weights of bits",
        "median ms",
        "speed",
    ]
    lengths = [
        [
            f"{length:,}",
            *(f"{case.difference:.1e}" for case in cases if case.length == length),
        ]
        for length in LENGTHS
    ]
    return f"""## Wav2Vec2-Base at every budget

`python -m benchmarks.wav2vec2_budgets --data …`: `quantkit export` of random weights, one analysis
of {CALIBRATION_CLIPS} clips of LibriSpeech, and a plan and a file for each budget of the source
work's figure. {SECONDS_OF_AUDIO} s of noise, batch 1, one thread, {len(base.milliseconds)}
interleaved runs. {host()}.

{table(header, rows)}

What is foretold, the sum over layers, is nearly all of the 8-bit grids in the feature extractor,
which the plans have in common. A pause in speech falls between two of their levels, and the
normalisation behind them makes all frames equally loud. These files keep the grids all the same,
for the latency of their integer kernels; `plan` and `personalize` do not where they cost more than
a tenth of what the weights cost, as in the last row, whose file is as small and slower. On the
trained keyword spotter such grids cost about 0.001 nats, and its layers stay in integers.

These weights are random, so there are no word errors here; a small trained model of this family has
[them at every budget](#word-errors-of-a-wav2vec-20-at-every-budget).

The exported file against transformers, which gets each clip alone: largest difference of
log-probabilities, |a − b| / max(1, |a|), by samples of the longest clip of a batch and clips in it:

{table(["samples", *(f"{size} in a batch" for size in BATCHES)], lengths)}
"""


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--seconds", default=60.0, show_default=True, help="Time for the measured runs.")
def main(data: Path, seconds: float) -> None:
    """Export, plan, quantize, time, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory(prefix="quantkit-budgets-") as name:
        folder = Path(name)
        source = export_as_users_do(
            folder, Wav2Vec2Config.from_dict({"attn_implementation": "eager"})
        )
        cases = parity(folder, source)
        made = make(source, folder, data)
        times = measure({name: path for name, (path, *_) in made.items()}, seconds)
        files = {
            name: File(total_size(path), foretold, measured, widths_of(path), times[name])
            for name, (path, foretold, measured) in made.items()
        }
    section = report(files, cases)
    replace_section("wav2vec2-budgets", section)
    click.echo(section)
    for budget in BUDGETS:
        if (size := files[f"{budget} MiB"].bytes) > budget * MIB:
            raise click.ClickException(f"{size:,} bytes are more than {budget} MiB")


if __name__ == "__main__":
    main()

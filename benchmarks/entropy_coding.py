"""Entropy-coded weights against tables: plans with and without ``rice``, and its stages.

Run it from the repository after ``make export``: ``python -m benchmarks.entropy_coding --data
FOLDER``, with ``librispeech/`` in the folder. It goes on where it was stopped, and renews its
section of RESULTS.md. Calibration clips are of training speakers, test clips of others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut, change, corpus_digest
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.plan import Plan
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.planning.optimal import Planner
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import CANDIDATES
from quantkit.sensitivity.table import Sensitivity

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
CALIBRATION_CLIPS = 32
#: The budget is what ``grouped`` of so many bits takes in every layer.
WIDTHS = (2, 3, 4)
#: Bytes that plans with Rice codes get, as shares of the budget.
SHARES = (1.0, 0.92)
#: The stages of Han et al., "Deep Compression", 2016, all layers alike. Pruning is by second
#: moments; levels are shared by tables; codes are what ``rice`` stores.
STAGES: Mapping[str, str] = {
    "prune half of the weights": "sparse:8,keep=50",
    "and share 16 levels": "sparse:4,keep=50",
    "code in 3 bits": "rice:3",
    "code in 2 bits": "rice:2",
    "for comparison: tables of 8": "grouped:3",
    "for comparison: tables of 4": "grouped:2",
}

_CODE = (
    *(f"quantkit/{part}" for part in ("codecs", "planning", "quantization", "sensitivity")),
    *(f"benchmarks/{part}.py" for part in ("entropy_coding", "scoring")),
)


@dataclass(frozen=True)
class Cell:
    """One file.

    Args:
        kind: ``plan`` with ``tables`` or ``rice``, or ``stage``.
        what: a codec, or which of them a plan may use.
        width, share: of a plan's budget; 0 for a stage.
    """

    kind: str
    what: str
    width: int = 0
    share: float = 0.0


@dataclass(frozen=True)
class Row:
    """What was measured; changes of the edit distance are relative, with their 95 % interval."""

    bytes: int
    divergence: float
    change: float
    low: float
    high: float
    layers: str


@dataclass(frozen=True)
class Measure:
    """Measures one cell.

    Args:
        data: folder with ``librispeech/``.
        clips: to score on, at most.
        seed: of the samples and the bootstrap.
    """

    data: Path
    clips: int
    seed: int

    def __call__(self, cell: Cell) -> Row:
        """Plan if there is one to make, quantize, recognise."""
        decisions: QuantizeSettings | Plan
        if cell.kind == "stage":
            decisions = QuantizeSettings(compute="static", codec=CodecChoice.parse(cell.what))
        else:
            decisions = self._plan(cell)
        fitting = None if cell.kind == "plan" else PersonalizeSettings().fitting
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            path = Path(folder) / "user.onnx"
            made = quantize_model(_prepared(), path, decisions, self.feeds(), fitting=fitting)
            score = _held_out(self).score(made.path)
        changed = change(score.edits, _held_out(self).float_score.edits, self.seed)
        layers = ""
        if isinstance(decisions, Plan):
            layers = " ".join(
                f"{CodecChoice(r.codec, r.bits, r.options)}" for r in decisions.layers
            )
        return Row(made.size_bytes, score.divergence, changed.mean, *changed.interval, layers)

    def _plan(self, cell: Cell) -> Plan:
        codecs = tuple(
            codec
            for codec in CANDIDATES
            if codec.has_one_width and (cell.what == "rice" or codec.name != "rice")
        )
        settings = QuantizeSettings(compute="static")
        fitting = PersonalizeSettings().fitting
        planner = Planner.of(SOURCE, _sensitivity(self), settings, codecs=codecs, fitting=fitting)
        return planner.best(round(cell.share * budget(cell.width))).plan

    def feeds(self) -> CalibrationData:
        """The calibration clips."""
        return _feeds(self)


def cells() -> list[Cell]:
    """All of the study."""
    return [
        *(
            cell
            for width in WIDTHS
            for cell in (
                Cell("plan", "tables", width, 1.0),
                *(Cell("plan", "rice", width, share) for share in SHARES),
            )
        ),
        *(Cell("stage", codec) for codec in STAGES.values()),
    ]


def report(results: Mapping[Cell, Row], about: str) -> str:
    """The section of RESULTS.md, of the cells that are done."""
    plans, saved = [], []
    for width in WIDTHS:
        cells_of_width = [Cell("plan", "tables", width, 1.0)]
        cells_of_width += [Cell("plan", "rice", width, share) for share in SHARES]
        for cell in cells_of_width:
            if cell in results:
                name = f"{width} bits, {'with' if cell.what == 'rice' else 'without'} `rice`"
                plans.append([name, f"{cell.share:.0%}", *_cells(results[cell])])
        if all(cell in results for cell in cells_of_width):
            saved.append(saving(results, width))
    stages = [
        [name, codec, *_cells(results[Cell("stage", codec)])]
        for name, codec in STAGES.items()
        if Cell("stage", codec) in results
    ]
    header = ["MB", "divergence", "change of edits [95 %]"]
    section = f"""## Entropy-coded weights

{about}

Optimal plans without and with `rice` among the codecs. The budget is what `grouped` with the named
bits in every layer takes, or a share of it. With `rice`, the divergence of the plan without takes
fewer bytes: {", ".join(saved)}.

{table(["plan", "budget", *header], plans)}
"""
    if stages:
        section += f"""
The stages of Deep Compression, all layers alike:

{table(["stage", "codec", *header], stages)}
"""
    return section


def saving(results: Mapping[Cell, Row], width: int) -> str:
    """How much fewer bytes plans with ``rice`` take at the divergence of the one without, in words.

    On straight lines between the plans, of bytes over the logarithm of the divergence; where even
    the smallest plan has less of it, all that is known is that it is more.
    """
    without = results[Cell("plan", "tables", width, 1.0)]
    rows = sorted(
        (results[Cell("plan", "rice", width, share)] for share in SHARES),
        key=lambda row: row.divergence,
    )
    if without.divergence >= rows[-1].divergence:
        return f"more than {1 - rows[-1].bytes / without.bytes:.1%} at {width} bits"
    logs = np.log([row.divergence for row in rows])
    size = np.interp(np.log(without.divergence), logs, [float(row.bytes) for row in rows])
    return f"{1 - size / without.bytes:.1%} at {width} bits"


def _cells(row: Row) -> list[str]:
    interval = f"{row.change:+.1%} [{row.low:+.1%}, {row.high:+.1%}]"
    return [f"{row.bytes / 1e6:.3f}", f"{row.divergence:.5f}", interval]


@cache
def budget(width: int) -> int:
    """What ``grouped`` of so many bits takes in every layer."""
    codec = CodecChoice("grouped", width)
    settings = QuantizeSettings(compute="static", codec=codec)
    plan = with_sizes(SOURCE, settings, total_size(SOURCE), PersonalizeSettings().fitting)
    return plan.predicted_bytes or 0


@cache
def _prepared() -> PreparedModel:
    return PreparedModel(SOURCE)


@cache
def _feeds(measure: Measure) -> CalibrationData:
    info = read_info(SOURCE)
    clips = open_corpus(measure.data / "librispeech").select(split="train")
    clips = clips.sample(CALIBRATION_CLIPS, measure.seed)
    return CalibrationData(tuple(CalibrationData(clips, info)), info)


def _test_clips(measure: Measure) -> Corpus:
    corpus = open_corpus(measure.data / "librispeech").select(split="dev")
    return corpus.sample(measure.clips, measure.seed)


@cache
def _held_out(measure: Measure) -> HeldOut:
    return HeldOut(SOURCE, _test_clips(measure))


@cache
def _sensitivity(measure: Measure) -> Sensitivity:
    clips = open_corpus(measure.data / "librispeech").select(split="train")
    settings = AnalysisSettings(metrics=("median",), fitting=PersonalizeSettings().fitting)
    clips = clips.sample(CALIBRATION_CLIPS, measure.seed)
    return analyze(SOURCE, clips, settings, cache=STUDIES / "cache")


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--clips", default=200, show_default=True, help="Test clips, at most.")
@click.option("--seed", default=0, show_default=True)
@study_options
def main(data: Path, clips: int, seed: int, jobs: int, only: tuple[str, ...]) -> None:
    """Measure, and renew the section in RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    measure = Measure(data, clips, seed)
    inputs = {
        "model": sha256_of(SOURCE),
        "test clips": corpus_digest(_test_clips(measure)),
        "seed": str(seed),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    study = Study("entropy-coding", cells(), Row, measure, inputs)
    results = study.run(jobs, only)
    if len(results) < len(study.cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    about = (
        f"`python -m benchmarks.entropy_coding --data FOLDER`: the shipped model, all layers "
        f"static, on {len(_test_clips(measure))} clips of LibriSpeech's dev speakers, greedy "
        f"decoder; sensitivity and moments from {CALIBRATION_CLIPS} clips of training speakers. "
        f"Divergence in nats per frame. Changes are paired by clip. {host()}."
    )
    section = report(results, about)
    click.echo(section)
    replace_section("entropy-coding", section)


if __name__ == "__main__":
    main()

"""Which way to spend the bits: every planning method at equal bytes, on real speech.

Run it from the repository after ``make export``: ``python -m benchmarks.plan_methods --data
FOLDER --jobs 2``, with ``librispeech/`` in the folder. It goes on where it was stopped, renews its
section and plot of RESULTS.md, and fails if a promise is broken. Calibration clips are of training
speakers, test clips of others.
"""

from __future__ import annotations

import atexit
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, floor
from pathlib import Path

import click

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.plan_methods_report import Cell, Row, broken_promises, draw, report, short_report
from benchmarks.results import host, replace_section
from benchmarks.scoring import HeldOut, Score, change, corpus_digest, mean_interval
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.plan import Plan
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.planning.correction import PlanEvaluator, corrected_plan
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.planning.methods.precisions import codec_widths
from quantkit.planning.optimal import Planner
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import RangeMethod
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.divergence_settings import CANDIDATES, DivergenceSettings
from quantkit.sensitivity.table import Sensitivity, read_sensitivity, write_sensitivity

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
SENSITIVITY = STUDIES / "plan-methods.sensitivity.json"

#: Average bits per weight: the budget is the file of uniform bitplanes of that width, or the mean
#: of those of the widths next to it.
#: At whole ones myQASR, its reverse and what is dealt from it are uniform; between, they differ.
WIDTHS = (2, 3, 3.5, 4, 5, 6, 8)
#: What a plan's own words may take more than those of the uniform one.
WORDS = 256
CALIBRATION_CLIPS = 32
#: Of the plans that are drawn at random.
SEEDS = (0, 1, 2)

#: How numbers are found: as we do, and as in each of myQASR's three calibrations.
FITTINGS: Mapping[str, tuple[PtqSettings, RangeMethod]] = {
    "ours": (PersonalizeSettings().fitting, "min-max"),
    "min-max": (PtqSettings("nearest", "min-max", bias_correction=False), "min-max"),
    "cosine": (PtqSettings("nearest", "cosine", bias_correction=False), "cosine"),
    "hessian": (PtqSettings("nearest", "hessian", bias_correction=False), "hessian"),
}

#: What each process keeps open from one cell to the next.
_OPEN = ExitStack()
atexit.register(_OPEN.close)

_CODE = (
    *(f"quantkit/{part}" for part in ("audio", "codecs", "graph", "passes", "planning")),
    *(f"quantkit/{part}" for part in ("quantize", "runtime", "sensitivity", "text")),
    *(f"benchmarks/{part}.py" for part in ("plan_methods", "scoring")),
)


@dataclass(frozen=True)
class Measure:
    """Measures one cell; what that needs is loaded once in each process.

    Args:
        source, sensitivity: the float model, and the table about it.
        data: folder with ``librispeech/``.
        clips: to score on, at most.
        seed: of the samples and the bootstrap.
    """

    source: Path
    sensitivity: Path
    data: Path
    clips: int
    seed: int

    def __call__(self, cell: Cell) -> Row:
        """Plan, quantize, recognise."""
        begin = time.perf_counter()
        plan = self._plan(cell)
        plan_seconds = time.perf_counter() - begin
        made = _made(self, plan)
        score, float_edits = made.score, _held_out(self).float_score.edits
        mean = sum(score.edits) / len(score.edits)
        low, high = mean_interval(score.edits, self.seed)
        changed = change(score.edits, float_edits, self.seed)
        return Row(
            bytes=made.excess + (plan.predicted_bytes or 0),
            budget=plan.budget_bytes or 0,
            levenshtein=mean,
            levenshtein_low=low,
            levenshtein_high=high,
            change=changed.mean,
            change_low=changed.interval[0],
            change_high=changed.interval[1],
            divergence=score.divergence,
            layers=" ".join(str(CodecChoice(r.codec, r.bits, r.options)) for r in plan.layers),
            plan_seconds=plan_seconds,
            quantize_seconds=made.seconds,
            edits=" ".join(map(str, score.edits)),
        )

    def _plan(self, cell: Cell) -> Plan:
        fitting, range_method = FITTINGS[cell.fitting]
        settings = QuantizeSettings(compute="static", range=range_method)
        budget, sensitivity = _budget(self.source, cell.width), _sensitivity(self)
        if cell.method == "optimal":
            widths = codec_widths("bitplane").values() if cell.codec == "bitplane" else ()
            planner = Planner.of(
                self.source, sensitivity, settings, codecs=tuple(widths), fitting=fitting
            )
            return corrected_plan(planner, _judge(self), budget).optimum.plan
        request = PlanRequest(
            PreparedModel(self.source),
            budget,
            settings,
            sensitivity,
            codec=cell.codec,
            activation_bits="weights" if cell.activations == "weights" else None,
            fitting=fitting,
        )
        options: dict[str, object] = {}
        if cell.direction:
            options["direction"] = cell.direction
        if cell.method == "shuffled":
            options["seed"] = cell.seed
        return method_named(cell.method, **options).plan(request)


def cells() -> list[Cell]:
    """All of the study, width by width."""
    return [cell for width in WIDTHS for cell in (*_equals(width), *_published(width))]


def analyze_once(measure: Measure) -> None:
    """Write the sensitivity table of the study; a second time it is read from a cache."""
    settings = AnalysisSettings(
        metrics=("median",),
        fitting=FITTINGS["ours"][0],
        # One bit, too, for which methods of equal codec would otherwise have more to choose from.
        divergence=DivergenceSettings((*CANDIDATES, CodecChoice("bitplane", 1))),
    )
    click.echo("analysing, which takes some minutes the first time", err=True)
    found = analyze(measure.source, _calibration_clips(measure), settings, cache=STUDIES / "cache")
    write_sensitivity(found, measure.sensitivity)


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--clips", default=200, show_default=True, help="Test clips, at most.")
@click.option("--seed", default=0, show_default=True)
@study_options
def main(data: Path, clips: int, seed: int, jobs: int, only: tuple[str, ...]) -> None:
    """Score every method at every size, renew RESULTS.md, and fail if a promise is broken."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    measure = Measure(SOURCE, SENSITIVITY, data, clips, seed)
    analyze_once(measure)
    inputs = {
        "model": sha256_of(SOURCE),
        "sensitivity": sha256_of(SENSITIVITY),
        "test clips": corpus_digest(_test_clips(measure)),
        "fittings": repr(FITTINGS),
        "seed": str(seed),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    study = Study("plan-methods", cells(), Row, measure, inputs)
    results = study.run(jobs, only)
    about = (
        f"`python -m benchmarks.plan_methods --data FOLDER`: the shipped model, all layers static, "
        f"on {len(_test_clips(measure))} clips of LibriSpeech's dev speakers, greedy decoder; "
        f"sensitivity and ranges from {CALIBRATION_CLIPS} clips of training speakers. At each "
        f"width every method may take the bytes of uniform bitplanes of that width, or between "
        f"two widths their mean, and {WORDS} more. At whole widths myQASR in either direction, and "
        f"what is dealt from it, give all layers the same bits. Where nothing else is said, "
        f"activations have 8 bits and numbers are found as in `quantkit personalize`; `min-max`, "
        f"`cosine` and `hessian` are myQASR's three calibrations as published. Changes are paired "
        f"by clip. The tidy table is `{study.table_path.relative_to(ROOT)}`. {host()}."
    )
    section = report(results, about)
    click.echo(section)
    if len(results) < len(study.cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    draw(results)
    replace_section("plan-methods", section)
    replace_section("plans", short_report(results), ROOT / "README.md")
    if broken := broken_promises(results, seed):
        raise click.ClickException("; ".join(broken))


def _equals(width: float) -> list[Cell]:
    """Methods that differ in nothing but which layer gets how many bits, and the best of all."""
    return [
        Cell(width, "uniform"),
        *(Cell(width, "shuffled", "ascending", seed=seed) for seed in SEEDS),
        Cell(width, "reversed", "ascending"),
        Cell(width, "linear", "descending"),
        Cell(width, "myqasr", "ascending"),
        Cell(width, "myqasr", "descending"),
        Cell(width, "optimal"),
        Cell(width, "optimal", codec="any"),
    ]


def _published(width: float) -> list[Cell]:
    """myQASR with its own calibrations, at 8-bit activations and with those that it has."""
    return [
        Cell(width, "myqasr", direction, fitting=fitting, activations=activations)
        for fitting, activations, direction in product(
            ("min-max", "cosine", "hessian"), ("8", "weights"), ("ascending", "descending")
        )
    ]


def _calibration_clips(measure: Measure) -> Corpus:
    corpus = open_corpus(measure.data / "librispeech").select(split="train")
    return corpus.sample(CALIBRATION_CLIPS, measure.seed)


def _test_clips(measure: Measure) -> Corpus:
    corpus = open_corpus(measure.data / "librispeech").select(split="dev")
    return corpus.sample(measure.clips, measure.seed)


@cache
def _sensitivity(measure: Measure) -> Sensitivity:
    return read_sensitivity(measure.sensitivity)


@cache
def _feeds(measure: Measure) -> CalibrationData:
    info = read_info(measure.source)
    return CalibrationData(tuple(CalibrationData(_calibration_clips(measure), info)), info)


@cache
def _held_out(measure: Measure) -> HeldOut:
    return HeldOut(measure.source, _test_clips(measure))


@cache
def _judge(measure: Measure) -> PlanEvaluator:
    fitting, range_method = FITTINGS["ours"]
    settings = QuantizeSettings(compute="static", range=range_method)
    judge = PlanEvaluator(measure.source, _feeds(measure), _sensitivity(measure), settings, fitting)
    _OPEN.callback(judge.close)
    return judge


@cache
def _budget(source: Path, width: float) -> int:
    if width != int(width):
        return (_budget(source, floor(width)) + _budget(source, ceil(width))) // 2
    codec = codec_widths("bitplane")[int(width)]
    settings = QuantizeSettings("uniform", compute="static", codec=codec)
    plan = with_sizes(source, settings, total_size(source), FITTINGS["ours"][0])
    return (plan.predicted_bytes or 0) + WORDS


@dataclass(frozen=True)
class _Made:
    """One artifact.

    Args:
        excess: bytes of its file over those that its plan foresaw.
        seconds: that quantizing took.
    """

    score: Score
    excess: int
    seconds: float


def _made(measure: Measure, plan: Plan) -> _Made:
    """The artifact of ``plan``; methods often agree, and the same is not made twice."""
    key = repr((measure, plan.layers, sorted(plan.fitting.items())))
    if key not in _MADE:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            result = quantize_model(
                measure.source, Path(folder) / "user.onnx", plan, _feeds(measure)
            )
            seconds = time.perf_counter() - begin
            score = _held_out(measure).score(result.path)
        excess = result.size_bytes - (plan.predicted_bytes or 0)
        _MADE[key] = _Made(score, excess, seconds)
    return _MADE[key]


_MADE: dict[str, _Made] = {}


if __name__ == "__main__":
    main()

"""Whose audio matters: personalised for the one who is tested, for somebody else, for nobody.

Run it from the repository after ``make export``: ``python -m benchmarks.personalisation --data
FOLDER --jobs 2``, with ``librispeech/``, ``speech_commands/`` and ``digits/`` in the folder. It
goes on where it was stopped and renews its section and plots of RESULTS.md. Each file is made once
and tested on all groups of its part, for some of which it was made and for others not. Clips that
calibrate are never tested on.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import click

from benchmarks.cells import ROOT, STUDIES, Study, chosen, code_digest, study_options
from benchmarks.personalisation_report import GENDERS, Cell, Row, draw, report
from benchmarks.results import host, replace_section
from benchmarks.scoring import HeldOut, corpus_digest
from benchmarks.shipped_model import test_sets
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError
from quantkit.graph.artifact import total_size
from quantkit.personalization.pipeline import personalize
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
CACHE = STUDIES / "cache"

#: Bytes, tight enough for the plan to matter.
GENDER_BUDGETS = (1_200_000, 1_600_000, 2_200_000)
SPEAKER_BUDGETS = (1_100_000, 1_500_000)
COUNT_BUDGET = 1_600_000
CLIPS = 32
COUNTS = (1, 4, 16, 32, 100)
SEEDS = (0, 1, 2)
#: The same where times are measured, and nothing else may run.
COUNT_SEEDS = (0, 1)
#: Of the held-out speakers of speech commands, those with the most clips.
MOST_SPEAKERS = 8
FEWEST_CLIPS = 20

#: myQASR as published, but with 8-bit activations: with as few bits as weights have here,
#: nothing is recognised.
MYQASR = PtqSettings(rounding="nearest", weight_range="cosine", bias_correction=False)
MYQASR_SETTINGS = QuantizeSettings(compute="static", range="cosine")

_CODE = (
    *(f"quantkit/{part}" for part in ("audio", "codecs", "graph", "passes", "planning")),
    *(f"quantkit/{part}" for part in ("quantize", "runtime", "sensitivity", "text")),
    "quantkit/personalization/pipeline.py",
    *(f"benchmarks/{part}.py" for part in ("personalisation", "scoring")),
)


@dataclass(frozen=True)
class Measure:
    """Measures one cell; what that needs is loaded once in each process.

    Args:
        source: the float model.
        data: folder with the corpora.
        clips: to test each gender on, at most.
    """

    source: Path
    data: Path
    clips: int

    def __call__(self, cell: Cell) -> Row:
        """Personalise, recognise.

        Raises:
            InputError: a clip both calibrates and is tested on; or the budget is impossible.
        """
        if cell.method == "float32":
            return self._scored(cell, self.source, 0)
        if cell.heard == "none":
            settings = QuantizeSettings(compute="dynamic")
            request = PlanRequest(PreparedModel(self.source), cell.budget, settings)
            plan = method_named(cell.method).plan(request)
            with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
                result = quantize_model(self.source, Path(folder) / "user.onnx", plan)
                return self._scored(cell, result.path, 0)
        corpus = calibration_clips(self.data, cell)
        require_disjoint(corpus, [clip for group in _tests(self, cell).values() for clip in group])
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            path = Path(folder) / "user.onnx"
            if cell.method == "optimal":
                # What is measured in seconds must not be found in a cache.
                kept = None if cell.part == "clips" else CACHE
                made = personalize(self.source, path, corpus, cell.budget, cache=kept)
                seconds = {step.name: step.seconds for step in made.summary.steps}
                row = self._scored(cell, path, made.summary.clips)
                return replace(
                    row,
                    listen_seconds=seconds["listen"],
                    plan_seconds=seconds["plan"],
                    quantize_seconds=seconds["quantize"],
                )
            self._write_myqasr(cell, corpus, path)
            return self._scored(cell, path, len(corpus))

    def _write_myqasr(self, cell: Cell, corpus: Corpus, path: Path) -> None:
        """Write what myQASR makes."""
        asked = AnalysisSettings(metrics=("median",), fitting=MYQASR, divergence=None)
        sensitivity = analyze(self.source, corpus, asked, cache=CACHE)
        model = PreparedModel(self.source)
        request = PlanRequest(model, cell.budget, MYQASR_SETTINGS, sensitivity, fitting=MYQASR)
        plan = method_named(cell.method, direction="descending").plan(request)
        quantize_model(self.source, path, plan, corpus)

    def _scored(self, cell: Cell, path: Path, clips: int) -> Row:
        scores = {
            group: held_out.float_score if path == self.source else held_out.score(path)
            for group, held_out in _held_out(self, _test_name(cell)).items()
        }
        return Row(
            bytes=total_size(path),
            clips=clips,
            edits=json.dumps({group: score.edits for group, score in scores.items()}),
            divergence=json.dumps({group: score.divergence for group, score in scores.items()}),
        )


def cells(commands: Sequence[str], digits: Sequence[str]) -> list[Cell]:
    """All of the study.

    Args:
        commands, digits: speakers of the two corpora.
    """
    found = [Cell(part, "float32", 0, "none") for part in ("gender", "digits", "commands", "clips")]
    # Budgets outside: what one analysis serves is not begun by two processes at once.
    for budget in GENDER_BUDGETS:
        found.append(Cell("gender", "uniform", budget, "none"))
        found += [
            Cell("gender", "optimal", budget, heard, CLIPS, seed)
            for seed in SEEDS
            for heard in GENDERS
        ]
        found.append(Cell("gender", "optimal", budget, "synthetic", CLIPS))
        found += [Cell("gender", "myqasr", budget, heard, CLIPS) for heard in GENDERS]
    for part, speakers in (("digits", digits), ("commands", commands)):
        for budget in SPEAKER_BUDGETS:
            found.append(Cell(part, "uniform", budget, "none"))
            found += [Cell(part, "optimal", budget, who, CLIPS) for who in speakers]
    found += [
        Cell("clips", "optimal", COUNT_BUDGET, "anyone", count, seed)
        for count in COUNTS
        for seed in COUNT_SEEDS
    ]
    return found


def calibration_clips(data: Path, cell: Cell) -> Corpus:
    """The clips that ``cell`` hears.

    Raises:
        CorpusError: there are none of them.
    """
    if cell.heard == "synthetic":
        corpus = open_corpus(ROOT / "calibration_data").select(split="calibration")
    elif cell.part == "commands":
        return halves(_commands(data).select(speaker=cell.heard))[0].sample(cell.clips, cell.seed)
    elif cell.part == "digits":
        corpus = open_corpus(data / "digits").select(split="train", speaker=cell.heard)
    else:
        gender = cell.heard if cell.heard in GENDERS else None
        corpus = open_corpus(data / "librispeech").select(split="train", gender=gender)
    return corpus.sample(cell.clips, cell.seed)


def test_clips(data: Path, name: str, most: int) -> dict[str, Corpus]:
    """The clips of each group that files are tested on.

    Args:
        name: ``librispeech``, ``digits`` or ``commands``.
        most: clips of each gender.
    """
    if name == "digits":
        takes = open_corpus(data / "digits").select(split="test")
        return {who: takes.select(speaker=who) for who in takes.values("speaker")}
    if name == "commands":
        clips = _commands(data)
        return {who: halves(clips.select(speaker=who))[1] for who in frequent_speakers(clips)}
    speech = open_corpus(data / "librispeech").select(split="dev")
    return {gender: speech.select(gender=gender).sample(most) for gender in GENDERS}


def frequent_speakers(corpus: Corpus) -> list[str]:
    """At most :data:`MOST_SPEAKERS` speakers with at least :data:`FEWEST_CLIPS` clips."""
    counts = Counter(utterance.speaker for utterance in corpus)
    enough = [who for who, count in counts.items() if count >= FEWEST_CLIPS]
    return sorted(sorted(enough, key=lambda who: (-counts[who], who))[:MOST_SPEAKERS])


def halves(corpus: Corpus) -> tuple[Corpus, Corpus]:
    """Every other clip by name, to calibrate, and the rest, to test: both have all words."""
    ordered = sorted(corpus, key=lambda utterance: utterance.identifier)
    first, second = tuple(ordered[::2]), tuple(ordered[1::2])
    return replace(corpus, utterances=first), replace(corpus, utterances=second)


def require_disjoint(calibration: Corpus, tested: Sequence[Utterance]) -> None:
    """Refuse clips that calibrate and are tested on.

    Raises:
        InputError: there is one; the message names it.
    """
    if both := {clip.path for clip in calibration} & {clip.path for clip in tested}:
        raise InputError(f"{min(map(str, both))} both calibrates and is tested on")


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--clips", default=60, show_default=True, help="Test clips of each gender, at most.")
@study_options
def main(data: Path, clips: int, jobs: int, only: tuple[str, ...]) -> None:
    """Personalise for everybody, test on everybody, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    measure = Measure(SOURCE, data, clips)
    tests = {name: test_clips(data, name, clips) for name in ("librispeech", "digits", "commands")}
    everything = cells(list(tests["commands"]), list(tests["digits"]))
    inputs = _inputs(measure, tests)
    wanted = set(chosen(everything, only))
    results: dict[Cell, Row] = {}
    for name, timed in (("personalisation", False), ("personalisation-clips", True)):
        mine = [cell for cell in everything if (cell.part == "clips") == timed]
        study = Study(name, mine, Row, measure, inputs)
        # Where times are measured, nothing else runs.
        done = study.run(1 if timed else jobs, only) if wanted & set(mine) else study.finished()
        results |= done
    section = report(results, _about(tests))
    click.echo(section)
    if len(results) < len(everything):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    draw(results)
    replace_section("personalisation", section)


def _inputs(measure: Measure, tests: Mapping[str, Mapping[str, Corpus]]) -> dict[str, str]:
    heard = [open_corpus(measure.data / name) for name in ("librispeech", "digits")]
    heard += [_commands(measure.data), open_corpus(ROOT / "calibration_data")]
    return {
        "model": sha256_of(measure.source),
        "calibration clips": " ".join(map(corpus_digest, heard)),
        "test clips": " ".join(
            corpus_digest(corpus) for groups in tests.values() for corpus in groups.values()
        ),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }


def _about(tests: Mapping[str, Mapping[str, Corpus]]) -> str:
    speech, commands = tests["librispeech"], tests["commands"]
    counts = " and ".join(f"{len(corpus)} of {GENDERS[who]}" for who, corpus in speech.items())
    return (
        "`python -m benchmarks.personalisation --data FOLDER`: the shipped model, greedy decoder. "
        f"**Gender**: {CLIPS} clips of training speakers of LibriSpeech calibrate, "
        f"{len(SEEDS)} draws of them; tested are clips of its dev speakers, {counts}. Only one of "
        "the dev speakers is a man, so what is found for men may be about him. **Speakers**: "
        f"{CLIPS} training takes of each of {len(tests['digits'])} speakers of digits, tested on "
        f"their test takes; of {len(commands)} speakers of speech commands whom training never "
        "heard, every other clip, tested on the rest. `other` is the mean over the files of all "
        "other speakers. **Clips**: of any training speakers, "
        f"{len(COUNT_SEEDS)} draws, {COUNT_BUDGET / 1e6:g} MB, tested as above; times with nothing "
        "in a cache. `myqasr` is descending, cosine, nearest rounding, 8-bit activations, and one "
        "draw. A difference is called signal where the 95 % bootstrap interval over clips, "
        "paired by clip, excludes 0. "
        "The interval knows nothing of which clips happened to calibrate, nor of speakers who "
        f"were not tested. {host()}."
    )


@cache
def _commands(data: Path) -> Corpus:
    return test_sets(data)["speech commands, held-out speakers"]


def _test_name(cell: Cell) -> str:
    return cell.part if cell.part in ("digits", "commands") else "librispeech"


@cache
def _groups(measure: Measure, name: str) -> Mapping[str, Corpus]:
    return test_clips(measure.data, name, measure.clips)


def _tests(measure: Measure, cell: Cell) -> Mapping[str, Corpus]:
    return _groups(measure, _test_name(cell))


@cache
def _held_out(measure: Measure, name: str) -> Mapping[str, HeldOut]:
    groups = _groups(measure, name)
    return {who: HeldOut(measure.source, corpus) for who, corpus in groups.items()}


if __name__ == "__main__":
    main()

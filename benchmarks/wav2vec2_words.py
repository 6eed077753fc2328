"""Word errors of a trained wav2vec 2.0 at the budgets of the source work, and whose audio matters.

Run it from the repository after ``make export MODEL=models/wav2vec2-en``: ``python -m
benchmarks.wav2vec2_words --data FOLDER --jobs 2``, with ``digits/`` and ``speech_commands/`` in the
folder. It goes on where it was stopped and renews its section of RESULTS.md. These are figures 3
and 4 of "A Model for Every User and Budget" with sizes on disk: its method and ours at equal bytes,
in the same run. Nobody and no take that is tested on was trained or calibrated on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import click

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.personalisation import MYQASR, MYQASR_SETTINGS, require_disjoint
from benchmarks.recipes import sources_of
from benchmarks.results import host, replace_section
from benchmarks.transducer import sequences
from benchmarks.voices import by_voice
from benchmarks.wav2vec2_budgets import BUDGETS, Analysed, analysed
from benchmarks.wav2vec2_words_report import DIGITS, FLOAT, METHODS, OURS, Cell, Row, report
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import total_size
from quantkit.graph.plan import Plan
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.analyze import AnalysisSettings, analyze
from quantkit.sensitivity.table import Sensitivity
from quantkit.tasks.open import open_speech_model
from quantkit.text.distances import error_counts
from quantkit.text.labels import Labels
from quantkit.training.mixture import open_source

MODEL = ROOT / "models" / "wav2vec2-en"
SOURCE = ROOT / "build" / "wav2vec2-en" / "float32.onnx"
CACHE = STUDIES / "cache"

#: Sequences that calibrate.
CLIPS = 32
#: Of :data:`~benchmarks.wav2vec2_budgets.BUDGETS`, those at which voices are compared.
VOICE_BUDGETS = (58, 65, 75)
#: What all weights at 8 bits take in the source work, in MiB.
EIGHT_BITS = 90

_CODE = (
    *(f"quantkit/{part}" for part in ("audio", "codecs", "graph", "passes", "planning")),
    *(f"quantkit/{part}" for part in ("quantization", "runtime", "sensitivity", "text")),
    *(f"benchmarks/{part}.py" for part in ("wav2vec2_words", "wav2vec2_budgets", "voices")),
)


@dataclass(frozen=True)
class Measure:
    """Measures one cell; what that needs is loaded once in each process.

    Args:
        source: the float model.
        data: folder with the corpora.
        clips: sequences of each kind to test on.
    """

    source: Path
    data: Path
    clips: int

    def __call__(self, cell: Cell) -> Row:
        """Plan, quantize, recognise.

        Raises:
            InputError: a take both calibrates and is tested on; or the budget is impossible.
        """
        if cell.method == FLOAT:
            return self._scored(self.source)
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            path = Path(folder) / "user.onnx"
            budget = budget_bytes(self.source, cell.mib)
            if cell.method == OURS:
                known = _analysed(self, cell.heard)
                plan = known.plan(budget, None).plan
                quantize_model(known.prepared, path, plan, known.feeds)
            else:
                corpus = calibration_clips(self.data, cell.heard)
                quantize_model(self.source, path, self._published(cell, budget), corpus)
            return self._scored(path)

    def _published(self, cell: Cell, budget: int) -> Plan:
        """myQASR's plan, or a uniform one."""
        request = PlanRequest(
            PreparedModel(self.source),
            budget,
            MYQASR_SETTINGS,
            _medians(self, cell.heard),
            activation_bits="weights" if METHODS[cell.method].activations_as_weights else None,
            fitting=MYQASR,
        )
        options = {"direction": "descending"} if METHODS[cell.method].planner == "myqasr" else {}
        return method_named(METHODS[cell.method].planner, **options).plan(request)

    def _scored(self, path: Path) -> Row:
        model = open_speech_model(path)
        words: dict[str, list[tuple[int, int]]] = {}
        characters: dict[str, list[tuple[int, int]]] = {}
        for group, clips in _tests(self).items():
            pairs = []
            for clip in clips:
                (output,) = model.outputs([model.features(clip)])
                pairs.append((clip.text or "", model.text_of(output)))
            words[group] = [_counted(a.split(), b.split()) for a, b in pairs]
            characters[group] = [_counted([*a], [*b]) for a, b in pairs]
        return Row(total_size(path), json.dumps(words), json.dumps(characters))


def _counted(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int]:
    """Errors, and units of the reference."""
    counts = error_counts(reference, hypothesis)
    return counts.errors, counts.reference_length


def cells() -> list[Cell]:
    """All of the study."""
    found = [Cell(FLOAT, 0, "none")]
    # Budgets inside: what one analysis serves is not begun by two processes at once.
    for name, method in METHODS.items():
        if name == FLOAT:
            continue
        budgets = (EIGHT_BITS,) if method.planner == "uniform" else BUDGETS
        found += [Cell(name, budget, "anyone") for budget in budgets]
        if method.compares_voices:
            found += [Cell(name, b, who) for b in VOICE_BUDGETS for who in ("low", "high")]
    return found


@cache
def budget_bytes(source: Path, mib: int) -> int:
    """The same part of a file with 8 bits everywhere as ``mib`` are of the source work's."""
    settings = QuantizeSettings("uniform", compute="static", codec=CodecChoice.parse("int8"))
    plan = with_sizes(source, settings, total_size(source), MYQASR)
    return (plan.predicted_bytes or 0) * mib // EIGHT_BITS


def calibration_clips(data: Path, heard: str) -> Corpus:
    """Sequences of training takes and people.

    Args:
        heard: ``low`` or ``high``: of people with such voices; ``anyone``: of all.
    """
    commands = _commands(data, "train")
    if heard != "anyone":
        return sequences(_by_voice(data, "train")[heard], CLIPS, 2)
    digits = open_corpus(data / "digits").select(split="train")
    each = [sequences(corpus, CLIPS // 2, 2).utterances for corpus in (commands, digits)]
    return Corpus("sequences of commands and digits", (*each[0], *each[1]))


@cache
def test_clips(data: Path, count: int) -> Mapping[str, Corpus]:
    """Sequences of held-out people with low and with high voices, and of test takes."""
    voices = _by_voice(data, "test")
    require_disjoint(_commands(data, "train"), [*_commands(data, "test")])
    digits = open_corpus(data / "digits").select(split="test")
    return {
        **{who: sequences(corpus, count, 1) for who, corpus in voices.items()},
        DIGITS: sequences(digits, count, 1),
    }


@cache
def _commands(data: Path, part: Literal["train", "test"]) -> Corpus:
    source = sources_of(MODEL)["speech_commands"]
    corpus = open_source(source, data / "speech_commands", Labels.english(), part)
    return Corpus(corpus.name, corpus.utterances)


@cache
def _by_voice(data: Path, part: Literal["train", "test"]) -> Mapping[str, Corpus]:
    return by_voice(_commands(data, part))


def _tests(measure: Measure) -> Mapping[str, Corpus]:
    return test_clips(measure.data, measure.clips)


@cache
def _analysed(measure: Measure, heard: str) -> Analysed:
    return analysed(measure.source, calibration_clips(measure.data, heard), CACHE)


@cache
def _medians(measure: Measure, heard: str) -> Sensitivity:
    asked = AnalysisSettings(metrics=("median",), fitting=MYQASR, divergence=None)
    return analyze(measure.source, calibration_clips(measure.data, heard), asked, cache=CACHE)


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option(
    "--source", type=click.Path(path_type=Path, exists=True), default=SOURCE, help="Float model."
)
@click.option("--clips", default=48, show_default=True, help="Test sequences of each kind.")
@study_options
def main(data: Path, source: Path, clips: int, jobs: int, only: tuple[str, ...]) -> None:
    """Make every file, test it on everybody, and renew RESULTS.md."""
    measure = Measure(source, data, clips)
    inputs = {
        "model": sha256_of(source),
        "data": sha256_of(data / "digits" / "manifest.tsv")
        + sha256_of(data / "speech_commands" / "manifest.tsv"),
        "clips": str(clips),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    study = Study("wav2vec2-words", cells(), Row, measure, inputs)
    results = study.run(jobs, only)
    parts: tuple[Literal["train", "test"], ...] = ("train", "test")
    people: dict[tuple[str, str], int] = {
        (who, part): len(corpus.values("speaker"))
        for part in parts
        for who, corpus in _by_voice(data, part).items()
    }
    eight = budget_bytes(source, EIGHT_BITS)
    section = report(results, people, clips, CLIPS, eight, EIGHT_BITS, host())
    click.echo(section)
    if len(results) < len(study.cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    replace_section("wav2vec2-words", section)


if __name__ == "__main__":
    main()

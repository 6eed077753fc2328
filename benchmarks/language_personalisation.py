"""Whisper base for one language: personalised for the one that is tested, for another, for none.

Run it from the repository: ``python -m benchmarks.language_personalisation --data FOLDER``, with
``prompts/`` and ``german/`` in the folder. It fetches and exports the weights, as
:mod:`benchmarks.whisper` does, goes on where it was stopped and renews its section and plot of
RESULTS.md. It is figure 4 of "A Model for Every User and Budget", with sizes on disk, a model that
people use, and clips that calibrate never tested on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.charts import Matrix, write_matrices
from benchmarks.personalisation import halves, require_disjoint
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import corpus_digest
from benchmarks.whisper import LANGUAGES, float_model, spoken
from quantkit.audio.decode import read_audio
from quantkit.audio.utterance import Corpus
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import model_files, total_size
from quantkit.personalization.pipeline import personalize
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.tasks.open import open_speech_model
from quantkit.text.decoding import Decoding
from quantkit.text.distances import error_counts, ratio_interval
from quantkit.text.scoring import WrittenTextScoring

CACHE = STUDIES / "cache"
PLOT = "language-personalisation"
MODEL = "base"

#: Bytes of both files together; float32 takes 288 MB, eight bits everywhere 73 MB.
BUDGET = 32_000_000
#: Of each language: to calibrate, and to test.
CALIBRATION_CLIPS, TEST_CLIPS = 24, 24
NONE, FLOAT = "none", "float32"

_CODE = (
    *(f"quantkit/{part}" for part in ("codecs", "graph", "passes", "planning", "quantize")),
    *(f"quantkit/{part}" for part in ("runtime", "sensitivity")),
    "quantkit/personalization/pipeline.py",
    *(f"benchmarks/{part}.py" for part in ("language_personalisation", "whisper")),
)
_RATE = 16_000
# Word error rate in %: beyond it, nobody can use a file.
_DARKEST = 60.0


@dataclass(frozen=True)
class Cell:
    """One file, which all languages are tested on.

    Args:
        heard: the language whose clips calibrate, ``none``, or ``float32`` for the float model.
    """

    heard: str


@dataclass(frozen=True)
class Row:
    """What became of it.

    Args:
        bytes: of the files.
        errors: word errors of each test clip by language, as JSON.
    """

    bytes: int
    errors: str


Results = Mapping[Cell, Row]


@dataclass(frozen=True)
class Measure:
    """Measures one cell.

    Args:
        data: folder with the corpora.
    """

    data: Path

    def __call__(self, cell: Cell) -> Row:
        """Personalise, and transcribe."""
        source = float_model(MODEL)
        if cell.heard == FLOAT:
            return self._scored(source)
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            path = Path(folder) / "user.onnx"
            if cell.heard == NONE:
                settings = QuantizeSettings(compute="dynamic")
                request = PlanRequest(PreparedModel(source), BUDGET, settings)
                plan = method_named("uniform").plan(request)
                quantize_model(source, path, plan)
            else:
                heard, _ = clips_of(self.data)[cell.heard]
                everything = [clip for _, test in clips_of(self.data).values() for clip in test]
                require_disjoint(heard, everything)
                personalize(source, path, heard, BUDGET, cache=CACHE)
            return self._scored(path)

    def _scored(self, path: Path) -> Row:
        errors = {
            language: _word_errors(path, test, language)
            for language, (_, test) in clips_of(self.data).items()
        }
        return Row(total_size(path), json.dumps(errors))


@cache
def clips_of(data: Path) -> dict[str, tuple[Corpus, Corpus]]:
    """Clips of each language: to calibrate, and to test."""
    found = {}
    for language in LANGUAGES:
        calibration, test = halves(spoken(data, language))
        found[language] = (calibration.sample(CALIBRATION_CLIPS), test.sample(TEST_CLIPS))
    return found


def _word_errors(path: Path, corpus: Corpus, language: str) -> list[int]:
    decoding = Decoding(language=language, temperatures=(0.0,))
    model = open_speech_model(path, 1, decoding=decoding)
    scoring = WrittenTextScoring()
    errors = []
    for clip in corpus:
        assert clip.path is not None
        (output,) = model.outputs([model.features(read_audio(clip.path, _RATE))])
        found = scoring.heard(model.text_of(output), language).split()
        errors.append(error_counts(_reference(scoring, clip.text or "", language), found).errors)
    return errors


def _reference(scoring: WrittenTextScoring, text: str, language: str) -> list[str]:
    return scoring.normalized(text, language).split()


def words_of(data: Path) -> dict[str, list[int]]:
    """Words of each test clip by language."""
    scoring = WrittenTextScoring()
    return {
        language: [len(_reference(scoring, clip.text or "", language)) for clip in test]
        for language, (_, test) in clips_of(data).items()
    }


def word_error_rates(
    results: Results, words: Mapping[str, Sequence[int]]
) -> dict[str, list[float]]:
    """In %, of each language in their order, by whose speech was heard."""
    rates = {}
    for cell, row in results.items():
        errors = json.loads(row.errors)
        rates[cell.heard] = [100 * sum(errors[each]) / sum(words[each]) for each in LANGUAGES]
    return rates


def by_relation(
    results: Results, words: Mapping[str, Sequence[int]]
) -> dict[str, tuple[float, tuple[float, float]]]:
    """Word error rate in % over all clips, with its interval: same language, another, none.

    Of another, each clip counts with the mean of its errors over the files of all others.
    """
    errors = {cell.heard: json.loads(row.errors) for cell, row in results.items()}
    found: dict[str, list[npt.NDArray[np.float64]]] = {"same": [], "other": [], NONE: []}
    for language in LANGUAGES:
        others = [errors[each][language] for each in LANGUAGES if each != language]
        found["same"].append(np.array(errors[language][language], float))
        found["other"].append(np.mean(others, axis=0))
        found[NONE].append(np.array(errors[NONE][language], float))
    counted = [number for language in LANGUAGES for number in words[language]]
    shown = {}
    for relation, parts in found.items():
        together = np.concatenate(parts)
        low, high = ratio_interval(together.tolist(), counted)
        shown[relation] = (100 * together.sum() / sum(counted), (100 * low, 100 * high))
    return shown


def without_loops(results: Results, words: Mapping[str, Sequence[int]]) -> Results:
    """No clip has more errors than words: a loop counts as a clip that is lost, not as twenty."""
    found = {}
    for cell, row in results.items():
        capped = {
            language: np.minimum(errors, words[language]).tolist()
            for language, errors in json.loads(row.errors).items()
        }
        found[cell] = replace(row, errors=json.dumps(capped))
    return found


def report(results: Results, words: Mapping[str, Sequence[int]]) -> str:
    """The section of RESULTS.md."""
    rates = word_error_rates(results, words)
    sizes = {cell.heard: row.bytes for cell, row in results.items()}
    rows = [
        [heard, f"{sizes[heard] / 1e6:.1f}", *(f"{rate:.1f}" for rate in rates[heard])]
        for heard in (*LANGUAGES, NONE, FLOAT)
    ]
    found = by_relation(results, words)
    capped = by_relation(without_loops(results, words), words)
    relations = [
        [relation, _rate(*found[relation]), _rate(*capped[relation])] for relation in found
    ]
    clips = sum(len(numbers) for numbers in words.values())
    return f"""## Whisper for one language

`python -m benchmarks.language_personalisation --data …`: Whisper base within {BUDGET / 1e6:.0f} MB
(float32 takes {sizes[FLOAT] / 1e6:.0f} MB), personalised with {CALIBRATION_CLIPS} unlabelled clips
of one language; `none`: a uniform plan without audio. Word error rate in % on {TEST_CLIPS} other
clips of each language, greedy and without fallback: a file that falls into a loop shows it. Rows:
what was heard. {host()}.

{table(["heard", "MB on disk", *LANGUAGES], rows)}

All {clips} test clips, by what was heard, seen from the language that is tested; in the last column
a clip that ends in a loop counts as lost and not as twenty; intervals: 95 %, bootstrap over clips:

{table(["heard", "WER %", "no clip above 100 %"], relations)}

![word error rate by language heard and tested](plots/{PLOT}.svg)
"""


def _rate(rate: float, interval: tuple[float, float]) -> str:
    return f"{rate:.1f} [{interval[0]:.1f}, {interval[1]:.1f}]"


def draw(results: Results, words: Mapping[str, Sequence[int]]) -> None:
    """The figure: one field for each language heard and tested; beside it, without loops."""
    heard = (*LANGUAGES, NONE)
    shown = {
        f"Word error rate %, Whisper base in {BUDGET / 1e6:.0f} MB": results,
        "No clip above 100 %": without_loops(results, words),
    }
    panels = []
    for title, each in shown.items():
        rates = word_error_rates(each, words)
        values = np.array([rates[language] for language in heard])
        labels = "language tested", "language heard", LANGUAGES, heard
        panels.append(Matrix(title, *labels, values, darkest=_DARKEST))
    write_matrices(PLOT, panels)


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@study_options
def main(data: Path, jobs: int, only: tuple[str, ...]) -> None:
    """Personalise for every language, test on every language, and renew RESULTS.md."""
    cells = [Cell(heard) for heard in (FLOAT, NONE, *LANGUAGES)]
    inputs = {
        "model": " ".join(map(sha256_of, model_files(float_model(MODEL)))),
        "clips": " ".join(corpus_digest(c) for pair in clips_of(data).values() for c in pair),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    study = Study("language-personalisation", cells, Row, Measure(data), inputs)
    results = study.run(jobs, only)
    if len(results) < len(cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    words = words_of(data)
    section = report(results, words)
    draw(results, words)
    replace_section("language-personalisation", section)
    click.echo(section)


if __name__ == "__main__":
    main()

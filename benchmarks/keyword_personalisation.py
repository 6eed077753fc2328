"""Keyword spotting for one speaker: personalised for the one who is tested, for another, for none.

Run it from the repository after ``make export MODEL=models/keywords-en``: ``python -m
benchmarks.keyword_personalisation --data FOLDER --jobs 2``, with ``speech_commands/`` in the
folder. It goes on where it was stopped and renews its section and plot of RESULTS.md. It is figure
5 of "A Model for Every User and Budget" with sizes on disk; nobody who is tested was trained on,
and clips that calibrate are never tested on.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from benchmarks.cells import ROOT, STUDIES, Study, code_digest, study_options
from benchmarks.charts import Bars, write_bars
from benchmarks.personalisation import frequent_speakers, halves, require_disjoint
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut, corpus_digest
from quantkit.audio.utterance import Corpus
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError
from quantkit.graph.artifact import total_size
from quantkit.personalization.pipeline import personalize
from quantkit.planning.methods import PlanRequest, method_named
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.text.distances import bootstrap_interval
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part

MODEL = ROOT / "models" / "keywords-en"
SOURCE = ROOT / "build" / "keywords-en" / "float32.onnx"
CACHE = STUDIES / "cache"
PLOT = "keyword-personalisation"

#: Bytes; eight bits everywhere take 2.7 MB.
BUDGETS = (900_000, 1_200_000)
CLIPS = 32
#: What was heard, seen from the one who is tested; `none` is a uniform plan.
RELATIONS = ("same", "other", "none")

_CODE = (
    *(f"quantkit/{part}" for part in ("codecs", "graph", "passes", "planning", "quantize")),
    *(f"quantkit/{part}" for part in ("runtime", "sensitivity")),
    "quantkit/personalization/pipeline.py",
    *(f"benchmarks/{part}.py" for part in ("keyword_personalisation", "scoring")),
)

Errors = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One file, which all speakers are tested on.

    Args:
        budget: bytes that it may take; 0 for the float model.
        heard: the speaker whose clips calibrate, or ``none``.
    """

    budget: int
    heard: str


@dataclass(frozen=True)
class Row:
    """What became of it.

    Args:
        bytes: of the file.
        errors: for each test clip 1 where its keyword was missed, by speaker, as JSON.
    """

    bytes: int
    errors: str


Results = Mapping[Cell, Row]


@dataclass(frozen=True)
class Measure:
    """Measures one cell.

    Args:
        data: folder with the corpus.
    """

    data: Path

    def __call__(self, cell: Cell) -> Row:
        """Personalise, and spot keywords."""
        if not cell.budget:
            return self._scored(SOURCE)
        with tempfile.TemporaryDirectory(prefix="quantkit-study-") as folder:
            path = Path(folder) / "user.onnx"
            if cell.heard == "none":
                settings = QuantizeSettings(compute="dynamic")
                request = PlanRequest(PreparedModel(SOURCE), cell.budget, settings)
                plan = method_named("uniform").plan(request)
                quantize_model(SOURCE, path, plan)
            else:
                heard = speakers(self.data)[cell.heard][0].sample(CLIPS)
                tested = [clip for _, test in speakers(self.data).values() for clip in test]
                require_disjoint(heard, tested)
                personalize(SOURCE, path, heard, cell.budget, cache=CACHE)
            return self._scored(path)

    def _scored(self, path: Path) -> Row:
        errors = {
            who: (held.float_score if path == SOURCE else held.score(path)).edits
            for who, held in _held_out(self.data).items()
        }
        return Row(total_size(path), json.dumps(errors))


@cache
def speakers(data: Path) -> dict[str, tuple[Corpus, Corpus]]:
    """Clips of each test speaker with enough of them: to calibrate, and to test."""
    recipe = load_keyword_recipe(MODEL / "recipe.toml")
    folder = data / "speech_commands"
    corpus = open_part(recipe.sources[0], folder, "test")
    spoken = Corpus(corpus.name, tuple(clip for clip in corpus if clip.speaker))
    return {who: halves(spoken.select(speaker=who)) for who in frequent_speakers(spoken)}


@cache
def _held_out(data: Path) -> dict[str, HeldOut]:
    return {who: HeldOut(SOURCE, test) for who, (_, test) in speakers(data).items()}


def errors_of(row: Row) -> dict[str, Errors]:
    """Errors of each test clip, by speaker."""
    return {who: np.array(found, float) for who, found in json.loads(row.errors).items()}


def by_relation(results: Results, budget: int) -> dict[str, Errors]:
    """Errors of all test clips, in one order: with the speaker's own file, others', nobody's.

    Of ``other``, the mean over the files of all other speakers.
    """
    found = {cell.heard: errors_of(row) for cell, row in results.items() if cell.budget == budget}
    everybody = [who for who in found if who != "none"]
    same = [found[who][who] for who in everybody]
    other = [
        np.mean([found[heard][who] for heard in everybody if heard != who], axis=0)
        for who in everybody
    ]
    none = [found["none"][who] for who in everybody]
    parts = {"same": same, "other": other, "none": none}
    return {relation: np.concatenate(errors) for relation, errors in parts.items()}


def report(results: Results) -> str:
    """The section of RESULTS.md."""
    float_errors = np.concatenate(list(errors_of(results[Cell(0, "none")]).values()))
    rows = [["float32", f"{results[Cell(0, 'none')].bytes / 1e6:.2f}", _accuracy(float_errors)]]
    rows[0] += ["", "", ""]
    for budget in BUDGETS:
        errors = by_relation(results, budget)
        largest = max(row.bytes for cell, row in results.items() if cell.budget == budget)
        gain = errors["other"] - errors["same"]
        low, high = bootstrap_interval(gain)
        rows.append(
            [
                f"{budget / 1e6:.1f} MB",
                f"{largest / 1e6:.2f}",
                *(_accuracy(errors[relation]) for relation in RELATIONS),
                f"{100 * gain.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]",
            ]
        )
    header = ["budget", "MB on disk", *RELATIONS, "same − other, points"]
    people = len(errors_of(results[Cell(0, "none")]))
    return f"""## Keyword spotting per speaker

`python -m benchmarks.keyword_personalisation --data …`: the shipped keyword spotter (9.5 MB in
float32), accuracy in % over {len(float_errors)} clips of {people} people whom training never heard.
`same`: personalised with {CLIPS} unlabelled clips at most of the one who is tested; `other`: with
those of somebody else, the mean over all others; `none`: a uniform plan without audio, ranges found
at run time. Intervals: 95 %, bootstrap over clips. The source work reports 92.3 / 77.2 / 78.6 %
for a Wav2Vec2-Large-Conformer whose sizes were computed, not stored. {host()}.

{table(header, rows)}

![accuracy by whose audio was heard](plots/{PLOT}.svg)
"""


def _accuracy(errors: Errors) -> str:
    share, (low, high) = accuracy(errors)
    return f"{100 * share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def accuracy(errors: Errors) -> tuple[float, tuple[float, float]]:
    """Share of clips that were right, and its 95 % interval."""
    low, high = bootstrap_interval(1.0 - errors)
    return float(1.0 - errors.mean()), (low, high)


def draw(results: Results) -> None:
    """The figure: accuracy at each budget."""
    bars: dict[str, list[tuple[float, float, float]]] = {relation: [] for relation in RELATIONS}
    for budget in BUDGETS:
        for relation, errors in by_relation(results, budget).items():
            share, (low, high) = accuracy(errors)
            bars[relation].append((100 * share, 100 * low, 100 * high))
    labels = [f"{budget / 1e6:.1f} MB" for budget in BUDGETS]
    write_bars(
        PLOT, [Bars("Keyword spotting, by whose audio was heard", "accuracy %", labels, bars)]
    )


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@study_options
def main(data: Path, jobs: int, only: tuple[str, ...]) -> None:
    """Personalise for everybody, test on everybody, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export MODEL={MODEL}` first")
    people: Sequence[str] = list(speakers(data))
    if len(people) < 2:
        raise InputError("the study needs two speakers with enough clips")
    cells = [Cell(0, "none")]
    for budget in BUDGETS:
        cells += [Cell(budget, who) for who in (*people, "none")]
    inputs = {
        "model": sha256_of(SOURCE),
        "clips": " ".join(corpus_digest(c) for pair in speakers(data).values() for c in pair),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    study = Study("keyword-personalisation", cells, Row, Measure(data), inputs)
    results = study.run(jobs, only)
    if len(results) < len(cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    section = report(results)
    draw(results)
    replace_section("keyword-personalisation", section)
    click.echo(section)


if __name__ == "__main__":
    main()

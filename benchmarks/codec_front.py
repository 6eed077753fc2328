"""Bytes against errors for every codec, in one picture: the shipped model, all layers alike.

Run it from the repository after ``make export``: ``python -m benchmarks.codec_front --data
FOLDER``, with ``librispeech/`` in the folder. It goes on where it was stopped, renews its section
of RESULTS.md and draws ``plots/codec-front.svg``. Calibration clips are of training speakers, test
clips of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from benchmarks.cells import ROOT, Study, code_digest, study_options
from benchmarks.charts import Panel, write_lines
from benchmarks.entropy_coding import CALIBRATION_CLIPS, SOURCE, Cell, Measure, Row
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import corpus_digest
from quantkit.audio.corpora import open_corpus
from quantkit.disk.files import sha256_of

#: Codecs by the name of their line, each from many bits to few.
LINES: Mapping[str, Sequence[str]] = {
    "int8": ["int8"],
    "bitplane": [f"bitplane:{bits}" for bits in (6, 4, 3, 2)],
    "codebook": [f"codebook:{bits}" for bits in (4, 3, 2)],
    "codebook per channel": ["codebook:3,scope=channel", "codebook:2,scope=channel"],
    "grouped": [f"grouped:{bits}" for bits in (4, 3, 2)],
    "rice": [f"rice:{bits}" for bits in (4, 3, 2.5, 2, 1.5, 1.2)],
    "powers": [f"powers:{bits}" for bits in (4, 3, 2)],
    "sparse, half kept": [f"sparse:{bits},keep=50" for bits in (8, 4, 3)],
    "ternary, binary": ["ternary", "binary"],
}

#: Codecs that change more are left out of the second half of the picture.
_MOST_DRAWN = 0.1

_CODE = (
    *(f"quantkit/{part}" for part in ("codecs", "quantization")),
    *(f"benchmarks/{part}.py" for part in ("codec_front", "entropy_coding", "scoring")),
)


def front_of(sizes: Sequence[float], losses: Sequence[float]) -> list[int]:
    """Which points no other one beats: none is as small and loses less; from small to large."""
    front: list[int] = []
    for index in sorted(range(len(sizes)), key=lambda each: (sizes[each], losses[each])):
        if not front or losses[index] < losses[front[-1]]:
            front.append(index)
    return front


def draw(rows: Mapping[str, Row]) -> Path:
    """Bytes against divergence and against edits; returns the file."""
    divergences, changes = {}, {}
    for name, codecs in LINES.items():
        found = [rows[codec] for codec in codecs]
        divergences[name] = [(r.bytes / 1e6, *(3 * (r.divergence,))) for r in found]
        changes[name] = [
            (r.bytes / 1e6, 100 * r.change, 100 * r.low, 100 * r.high)
            for r in found
            if r.change < _MOST_DRAWN
        ]
    size = "MB of the file (float32: 22.4)"
    beyond = f"Edit distance (below +{_MOST_DRAWN:.0%})"
    panels = [
        Panel("Posteriors", size, "divergence, nats per frame", divergences, logarithmic=True),
        Panel(beyond, size, "change, %", {name: line for name, line in changes.items() if line}),
    ]
    return write_lines("codec-front", panels)


def report(rows: Mapping[str, Row], picture: Path, about: str) -> str:
    """The section of RESULTS.md."""
    names = [codec for codecs in LINES.values() for codec in codecs]
    front = front_of([rows[c].bytes for c in names], [rows[c].divergence for c in names])
    best = {names[index] for index in front}
    lines = []
    for codec in sorted(names, key=lambda each: rows[each].bytes):
        row = rows[codec]
        interval = f"{row.change:+.1%} [{row.low:+.1%}, {row.high:+.1%}]"
        name = f"**{codec}**" if codec in best else codec
        lines.append([name, f"{row.bytes / 1e6:.3f}", f"{row.divergence:.5f}", interval])
    header = ["codec", "MB", "divergence", "change of edits [95 %]"]
    return f"""## All codecs in one picture

{about}

![Bytes against divergence and against edits](plots/{picture.name})

Bold: no other file is as small and moves the posteriors less.

{table(header, lines)}
"""


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--clips", default=200, show_default=True, help="Test clips, at most.")
@click.option("--seed", default=0, show_default=True)
@study_options
def main(data: Path, clips: int, seed: int, jobs: int, only: tuple[str, ...]) -> None:
    """Measure, draw, and renew the section in RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    test = open_corpus(data / "librispeech").select(split="dev").sample(clips, seed)
    inputs = {
        "model": sha256_of(SOURCE),
        "test clips": corpus_digest(test),
        "seed": str(seed),
        "code": code_digest(*(ROOT / part for part in _CODE)),
    }
    cells = [Cell("stage", codec) for codecs in LINES.values() for codec in codecs]
    study = Study("codec-front", cells, Row, Measure(data, clips, seed), inputs)
    results = study.run(jobs, only)
    if len(results) < len(study.cells):
        raise click.ClickException("not all cells are done, so RESULTS.md is left as it was")
    rows = {cell.what: row for cell, row in results.items()}
    about = (
        f"`python -m benchmarks.codec_front --data FOLDER`: the shipped model, all layers static "
        f"with the same codec, on {len(test)} clips of LibriSpeech's dev speakers, greedy decoder; "
        f"moments from {CALIBRATION_CLIPS} clips of training speakers. Divergence in nats per "
        f"frame. Changes of the edit distance are paired by clip. {host()}."
    )
    section = report(rows, draw(rows), about)
    click.echo(section)
    replace_section("codec-front", section)


if __name__ == "__main__":
    main()

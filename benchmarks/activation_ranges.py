"""How activation ranges should be found, at every width of the grid.

Run it from the repository after ``make export``: ``python -m benchmarks.activation_ranges --data
FOLDER``, with ``librispeech/`` in the folder. It takes some minutes and renews its section of
RESULTS.md. Calibration clips are of training speakers, test clips of others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut, Score, change
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import INT8
from quantkit.graph.artifact import read_info
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import RANGES, RangeMethod

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
BITS = (8, 6, 5, 4)
CALIBRATION_CLIPS = 32


def measure(held_out: HeldOut, feeds: CalibrationData, bits: int, found_by: RangeMethod) -> Score:
    """The shipped model with int8 weights and activations of ``bits``, in all layers."""
    settings = QuantizeSettings(
        compute="static", codec=INT8, activation_bits=bits, range=found_by, percentile=99.99
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "quantized.onnx"
        quantize_model(SOURCE, path, settings, feeds)
        return held_out.score(path)


def report(scores: Mapping[tuple[int, RangeMethod], Score], base: Score, clips: int) -> str:
    """The section of RESULTS.md."""
    rows = []
    for bits in BITS:
        for name in RANGES:
            score = scores[bits, name]
            changed = change(score.edits, base.edits)
            low, high = changed.interval
            rows.append(
                [
                    f"{bits} bits, {name}",
                    f"{score.divergence:.4f}",
                    f"{changed.mean:+.1%}",
                    f"{low:+.1%} … {high:+.1%}",
                ]
            )
    header = ["activations", "divergence", "change of Levenshtein", "95 % interval"]
    return "\n\n".join(
        [
            "## Activation ranges",
            "`python -m benchmarks.activation_ranges --data FOLDER`: the shipped model, weights "
            f"int8, all layers static, ranges from {CALIBRATION_CLIPS} clips of LibriSpeech's "
            f"training speakers; {clips} clips of its dev speakers, greedy decoder. `percentile` "
            f"is 99.99. Changes are against float32 and paired by clip. {host()}.",
            table(header, rows),
        ]
    )


@click.command()
@click.option(
    "--data", required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--clips", default=200, show_default=True, help="Test clips, at most.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, clips: int, seed: int) -> None:
    """Score every range at every width and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = open_corpus(data / "librispeech")
    heard = corpus.select(split="train").sample(CALIBRATION_CLIPS, seed)
    held_out = HeldOut(SOURCE, corpus.select(split="dev").sample(clips, seed))
    feeds = CalibrationData(heard, read_info(SOURCE))
    scores = {
        (bits, name): measure(held_out, feeds, bits, name) for bits in BITS for name in RANGES
    }
    base = held_out.float_score
    section = report(scores, base, len(base.edits))
    click.echo(section)
    replace_section("activation-ranges", section)


if __name__ == "__main__":
    main()

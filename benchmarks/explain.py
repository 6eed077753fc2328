"""Whether ``quantkit explain`` names known damage first.

Run it from the repository after ``make export``: ``python -m benchmarks.explain --data FOLDER
--transducer FOLDER``, with ``librispeech/`` and ``digits/`` in the first folder and a TDT of
English digits in onnx-asr's layout in the second. It takes some minutes and renews its section of
RESULTS.md.

Every file is int8 but for one known fault: the weights of one layer in 1 bit, its inputs in 3, or
one graph of a transducer in 1 bit. Files are quantized with clips of some speakers, and explained
with clips of others.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

import quantkit
from benchmarks.low_rank import SOURCE
from benchmarks.results import host, replace_section, table
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings

LAYERS = ("layer2.conv", "layer5.conv", "layer9.conv", "layer11.conv")
WEIGHTS, INPUTS = "weights in 1 bit", "inputs in 3 bits"
#: The products of the joiner, which lies in one file with the predictor.
JOINER = ("decoder./enc/MatMul", "decoder./decoder_projector/MatMul", "decoder./head/MatMul")
_CALIBRATION, _CLIPS = 24, 12


@dataclass(frozen=True)
class Fault:
    """One file with a known fault.

    Args:
        model: in the table.
        source: the float model.
        layers: that are damaged.
        kind: of the damage.
        what: the layers become, as of ``--layer``.
        calibration, clips: that it is quantized and explained with.
    """

    model: str
    source: Path
    layers: tuple[str, ...]
    kind: str
    what: str
    calibration: Corpus
    clips: Corpus


def faults(speech: Corpus, digits: Corpus, transducer: Path | None) -> Iterator[Fault]:
    """The files to make."""
    heard = speech.select(split="train").sample(_CALIBRATION, 0)
    others = speech.select(split="dev").sample(_CLIPS, 0)
    for layer in LAYERS:
        for kind, what in ((WEIGHTS, "bitplane:1"), (INPUTS, "/3")):
            yield Fault("shipped Wav2Letter", SOURCE, (layer,), kind, what, heard, others)
    if transducer is not None:
        train = digits.select(split="train").sample(2 * _CALIBRATION, 0)
        test = digits.select(split="test").sample(2 * _CLIPS, 0)
        yield Fault("TDT of digits", transducer, JOINER, WEIGHTS, "bitplane:1", train, test)


def explained(fault: Fault, folder: Path) -> tuple[list[str], bool]:
    """A row of the table, and whether the fault was named first."""
    rules = tuple(LayerRule.parse(f"{layer}={fault.what}") for layer in fault.layers)
    several = fault.source.is_dir()
    settings = QuantizeSettings(compute="dynamic" if several else "static", rules=rules)
    made = folder / "file.onnx"
    quantkit.quantize(fault.source, made, settings, fault.calibration)
    found = quantkit.explain(fault.source, made, fault.clips)
    first, second = found.worst[:2]
    named = first.name in fault.layers
    parts = ""
    if found.graphs:
        worst = max(found.graphs, key=lambda each: each.divergence)
        parts = f"{worst.role}: {worst.divergence:.4f}"
        named = named and worst.role == "decoder"
    if fault.kind == INPUTS:
        named = named and first.inputs > first.weights
    if fault.kind == WEIGHTS:
        named = named and first.weights > first.inputs
    best = found.remedies[0]
    row = [
        fault.model,
        f"{', '.join(fault.layers)}: {fault.kind}",
        f"{found.divergence.mean:.4f}",
        f"{first.name} ({first.restored:.4f})",
        f"{second.name} ({second.restored:.4f})",
        f"{first.weights:.4f} / {first.inputs:.4f}",
        parts,
        f"`{best.option}` ({best.gain:.4f})",
    ]
    return row, named


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--transducer", type=click.Path(path_type=Path, exists=True))
def main(data: Path, transducer: Path | None) -> None:
    """Make the files, have them explained, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    speech, digits = open_corpus(data / "librispeech"), open_corpus(data / "digits")
    rows, right = [], 0
    for fault in faults(speech, digits, transducer):
        click.echo(f"{fault.model}: {', '.join(fault.layers)}, {fault.kind}", err=True)
        with tempfile.TemporaryDirectory() as folder:
            row, named = explained(fault, Path(folder))
        rows.append(row)
        right += named
    header = [
        "model",
        "fault",
        "nats",
        "named first (given back)",
        "second",
        "weights / inputs alone",
        "worst graph",
        "first remedy (gain)",
    ]
    section = "\n\n".join(
        [
            "## Faults that are found",
            "`python -m benchmarks.explain --data FOLDER --transducer FOLDER`: files in int8 but "
            f"for one fault, calibrated on {_CALIBRATION} clips and explained with {_CLIPS} of "
            "other speakers (of the transducer with other takes of the same). Divergences in nats "
            f"per frame, or per point of the path. {right} of {len(rows)} faults were named first, "
            f"as of weights or of inputs. {host()}.",
            table(header, rows),
        ]
    )
    click.echo(section)
    replace_section("explain", section)


if __name__ == "__main__":
    main()

"""Bits of the inputs of long convolutions, as ``personalize --max-latency`` chooses them.

Run it from the repository after ``make export``, with nothing else running: ``python -m
benchmarks.faster_inputs --data FOLDER``, with ``librispeech/`` in the folder. It takes some minutes
and renews its section of RESULTS.md. With the extra ``peers`` OpenVINO and NNCF take part.

The limits are shares of what static int8 of 8 bits everywhere takes in the same process, so that
they ask for the same on every host.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks import openvino_peer
from benchmarks.low_rank import FITTING, NNCF, SOURCE, openvino_file, speeds
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.plan import Plan
from quantkit.personalization.pipeline import PersonalizeSettings, personalize
from quantkit.planning.finished_latency import FinishedLatency
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.sensitivity.model_divergence import model_divergence

LAYER = "layer9.conv"
#: Of the time of static int8.
SHARES = (0.97, 0.92, 0.85)
BUDGET = 6_000_000
STATIC = "static int8"
_CLIPS = 32


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        name: in the table.
        path: of the file.
        plan: of it.
        latency: whether it keeps its limit; None: it has none.
    """

    name: str
    path: Path
    plan: Plan
    latency: FinishedLatency | None = None

    @property
    def inputs(self) -> str:
        """Bits of the input of the layer, or of each of its parts."""
        rows = {row.name.removeprefix(LAYER): row for row in self.plan.layers}
        own = (row for name, row in rows.items() if name in ("", ".in", ".first"))
        return ", ".join(f"{row.activation_bits}" for row in own)

    @property
    def structure(self) -> str:
        """In words."""
        found = self.plan.structure.items()
        return ", ".join(f"{name.removesuffix('.conv')}: {each}" for name, each in found)


def make_files(audio: Corpus, folder: Path, shares: tuple[float, ...]) -> list[Made]:
    """Static int8, and a personal file for each limit."""
    static = preset("static-int8")
    path = folder / "static.onnx"
    feeds = CalibrationData(audio, read_info(SOURCE))
    plain = quantize_model(SOURCE, path, static, feeds, fitting=FITTING)
    made = [Made(STATIC, path, plain.plan)]
    (speed,) = speeds([path])
    for share in shares:
        limit = f"{share / speed:.4f}x"
        click.echo(f"personalize --max-latency {limit}", err=True)
        path = folder / f"{share}.onnx"
        wanted = PersonalizeSettings(quantize=static, fitting=FITTING, max_latency=limit)
        result = personalize(SOURCE, path, audio, BUDGET, wanted, cache=folder / "cache")
        name = f"`--max-latency {limit}`, {share:g} of static int8"
        made.append(Made(name, path, result.plan, result.summary.latency))
    return made


def report(made: list[Made], dev: Corpus, theirs: Path | None) -> str:
    """The section of RESULTS.md."""
    peer = None if theirs is None else openvino_peer.Peer(theirs)
    faster = speeds([each.path for each in made], peer=peer)
    scores = score([SOURCE, *(each.path for each in made)], dev, "greedy", 0, {})[1:]
    feeds = CalibrationData(dev, read_info(SOURCE))
    rows = []
    for each, speed, scored in zip(made, faster, scores, strict=False):
        low, high = scored.change_ci
        kept = "–"
        if each.latency is not None:
            share = each.latency.measured_ms / each.latency.limit_ms
            kept = f"{share:.2f} of the limit"
        rows.append(
            [
                each.name,
                each.inputs,
                each.structure,
                f"{speed:.2f}×",
                kept,
                f"{total_size(each.path) / 1e6:.2f}",
                f"{model_divergence(SOURCE, each.path, feeds).mean:.5f}",
                f"{100 * scored.change:+.2f} % [{100 * low:+.2f}, {100 * high:+.2f}]",
            ]
        )
    if theirs is not None:
        size = f"{openvino_peer.size(theirs) / 1e6:.2f}"
        rows.append([NNCF, "8", "", f"{faster[-1]:.2f}×", "–", size, "", ""])
    header = [
        "file",
        "bits of the ninth layer's input",
        "structure",
        "speed",
        "measured",
        "MB",
        "nats per frame",
        "edits [95 %]",
    ]
    return "\n\n".join(
        [
            "## Bits of inputs within a latency",
            "`python -m benchmarks.faster_inputs --data FOLDER`: the shipped model by `personalize "
            f"--budget {BUDGET / 1e6:g}MB --max-latency`, preset `static-int8`, from {_CLIPS} "
            "clips of LibriSpeech's training speakers. Bits of the inputs, ranks, channels, codecs "
            "and kernels are chosen together. Speed against float32 in ONNX Runtime, one thread, "
            "files in turns, median processor time; divergence and edits on "
            f"{len(dev)} clips of its dev speakers. {host()}.",
            table(header, rows),
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--share", "shares", type=float, multiple=True, default=SHARES, show_default=True)
def main(data: Path, shares: tuple[float, ...]) -> None:
    """Make the files, measure them, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    speech = open_corpus(data / "librispeech")
    with tempfile.TemporaryDirectory() as folder:
        audio = speech.select(split="train").sample(_CLIPS, 0)
        made = make_files(audio, Path(folder), shares)
        theirs = openvino_file(audio, Path(folder))
        section = report(made, speech.select(split="dev"), theirs)
    click.echo(section)
    replace_section("faster-inputs", section)


if __name__ == "__main__":
    main()

"""How fast the shipped model becomes when layers are split at lower ranks, and what that costs.

Run it from the repository after ``make export``, with nothing else running: ``python -m
benchmarks.low_rank --data FOLDER``, with ``librispeech/`` in the folder. It takes some minutes and
renews its section of RESULTS.md. With the extra ``peers`` OpenVINO and NNCF take part.

Files are found from 32 clips of LibriSpeech's training speakers, and tried on its dev speakers.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from benchmarks import openvino_peer
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import Score, score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.plan import Plan
from quantkit.personalization.pipeline import PersonalizeSettings, personalize
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.choices.structure_rules import RankRule
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.session import create_session
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.text.decoding import Decoding

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Of the latency of float32, within how many bytes.
LIMITS = ("0.2x", "0.13x", "0.11x", "0.1x", "0.09x", "0.083x")
BUDGET = 2_000_000
#: By hand, the same for all layers.
BY_HAND: dict[str, tuple[str, ...]] = {
    "no rank": (),
    "rank 1/2 everywhere": ("Conv=1/2",),
    "rank 3/8 everywhere": ("Conv=3/8",),
}
FITTING = PtqSettings(target_cpu="vnni")
_FRAMES, _CLIPS, _ROUNDS = 1000, 32, 40
NNCF = "OpenVINO + NNCF int8"


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        name: in the table.
        path: of the file.
        structure: ranks of its layers, in words.
    """

    name: str
    path: Path
    structure: str = ""


def make_files(audio: Corpus, folder: Path, limits: Sequence[str]) -> list[Made]:
    """Static int8 by hand, and a personal file for each limit."""
    feeds = CalibrationData(audio, read_info(SOURCE))
    static = preset("static-int8")
    made: list[Made] = []
    for name, rules in BY_HAND.items():
        ranks = tuple(map(RankRule.parse, rules))
        settings = QuantizeSettings(compute=static.compute, ranks=ranks)
        path = folder / f"{len(made)}.onnx"
        quantize_model(SOURCE, path, settings, feeds, fitting=FITTING)
        made.append(Made(f"static int8, {name}", path))
    for limit in limits:
        click.echo(f"personalize --max-latency {limit}", err=True)
        path = folder / f"{len(made)}.onnx"
        wanted = PersonalizeSettings(quantize=static, fitting=FITTING, max_latency=limit)
        result = personalize(SOURCE, path, audio, BUDGET, wanted, cache=folder / "cache")
        made.append(Made(f"`--max-latency {limit}`", path, _in_words(result.plan)))
    return made


def speeds(
    paths: Sequence[Path], frames: int = _FRAMES, peer: openvino_peer.Peer | None = None
) -> list[float]:
    """How many times as fast as float32, one thread, models in turns, median processor time.

    Args:
        peer: comes last, if there is one.
    """
    random = np.random.default_rng(0)
    clip = {
        "features": random.standard_normal((1, frames, 40)).astype(np.float32),
        "lengths": np.array([frames]),
    }
    sessions = [create_session(path, threads=1) for path in (SOURCE, *paths)]
    runs: list[Callable[[], object]] = [partial(each.run, None, clip) for each in sessions]
    if peer is not None:
        runs.append(partial(peer.run, clip))
    seconds = interleaved_seconds(
        runs,
        threads=1,
        effort=Effort(rounds=_ROUNDS, min_rounds=_ROUNDS),
        clock=time.process_time,
    )
    medians = np.median(seconds, axis=0)
    return [float(medians[0] / each) for each in medians[1:]]


def openvino_file(audio: Corpus, folder: Path) -> Path | None:
    """What NNCF makes of the float model from the same clips; None where it is not installed."""
    if not openvino_peer.available():
        return None
    feeds = [feed for _, feed in CalibrationData(audio, read_info(SOURCE))]
    return openvino_peer.quantize(SOURCE, folder / "nncf.xml", feeds, transformer=False)


def report(made: Sequence[Made], dev: Corpus, theirs: Path | None) -> str:
    """The section of RESULTS.md."""
    paths = [each.path for each in made]
    peer = None if theirs is None else openvino_peer.Peer(theirs)
    faster = speeds(paths, peer=peer)
    others = {}
    if peer is not None:
        session = openvino_peer.PeerSession(peer, create_session(SOURCE))
        others[NNCF] = Recognizer(read_info(SOURCE), cast(Any, session), Decoding("greedy"))
    scores: list[Score] = score([SOURCE, *paths], dev, "greedy", 0, others)[1:]
    feeds = CalibrationData(dev, read_info(SOURCE))
    rows = []
    for each, speed, scored in zip(made, faster, scores, strict=False):
        moved = model_divergence(SOURCE, each.path, feeds).mean
        low, high = scored.change_ci
        rows.append(
            [
                each.name,
                f"{speed:.1f}×",
                f"{total_size(each.path) / 1e6:.2f}",
                f"{moved:.4f}",
                f"{100 * scored.change:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]",
                each.structure,
            ]
        )
    if theirs is not None:
        low, high = scores[-1].change_ci
        edits = f"{100 * scores[-1].change:+.1f} % [{100 * low:+.1f}, {100 * high:+.1f}]"
        size = f"{openvino_peer.size(theirs) / 1e6:.2f}"
        rows.insert(0, [NNCF, f"{faster[-1]:.1f}×", size, "–", edits, ""])
    header = ["file", "speed", "MB", "nats per frame", "edits [95 %]", "structure, layer by layer"]
    return "\n\n".join(
        [
            "## Layers of lower rank",
            "`python -m benchmarks.low_rank --data FOLDER`: the shipped model, split by `--rank` "
            f"and by `personalize --budget {BUDGET / 1e6:g}MB --max-latency`, from {_CLIPS} clips "
            "of LibriSpeech's training speakers. Speed against float32 in ONNX Runtime on "
            f"{_FRAMES} frames, one thread, files in turns, median processor time; divergence and "
            f"edits on {len(dev)} clips of its dev speakers. A limit is of the clip of median "
            f"length among the {_CLIPS}. Structure: ranks of the outputs, or inputs → outputs, "
            f"where 0 is none; or numbers of channels. {host()}.",
            table(header, rows),
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--limit", "limits", multiple=True, default=LIMITS, show_default=True)
def main(data: Path, limits: tuple[str, ...]) -> None:
    """Make the files, measure them, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    speech = open_corpus(data / "librispeech")
    with tempfile.TemporaryDirectory() as folder:
        audio = speech.select(split="train").sample(_CLIPS, 0)
        made = make_files(audio, Path(folder), limits)
        theirs = openvino_file(audio, Path(folder))
        section = report(made, speech.select(split="dev"), theirs)
    click.echo(section)
    replace_section("low-rank", section)


def _in_words(plan: Plan) -> str:
    return ", ".join(f"{name.removesuffix('.conv')}: {r}" for name, r in plan.structure.items())


if __name__ == "__main__":
    main()

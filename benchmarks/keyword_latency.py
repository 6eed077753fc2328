"""How fast the shipped keyword spotter becomes with fewer channels and lower ranks.

Run it from the repository after ``make export MODEL=models/keywords-en``, with nothing else
running: ``python -m benchmarks.keyword_latency --data FOLDER``, with ``speech_commands/`` in the
folder. It takes some minutes and renews its section of RESULTS.md. With the extra ``peers``
OpenVINO and NNCF take part.

Files are found from clips of the people that training was validated on, and tried on all clips of
those whom it never heard.

``--before FOLDER`` names an older checkout: what int8 of its code took stands in the table, too,
run in turns with the others (``git worktree add FOLDER 3bddc7b`` for the last one without fewer
operations in the first layer, ranks and fewer channels).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks import openvino_peer
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut
from quantkit.arrays import FloatArray
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info, total_size
from quantkit.personalization.pipeline import PersonalizeSettings, personalize
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.structure_rules import ChannelRule
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session
from quantkit.text.distances import bootstrap_interval
from quantkit.training.keywords.recipe import load_keyword_recipe
from quantkit.training.keywords.speakers import open_part

MODEL = ROOT / "models" / "keywords-en"
SOURCE = ROOT / "build" / "keywords-en" / "float32.onnx"
#: Of the latency of float32, within how many bytes.
LIMITS = ("0.6x", "0.55x", "0.5x", "0.45x", "0.4x")
BUDGET = 2_700_000
#: Shares of the channels, by hand.
BY_HAND: dict[str, tuple[str, ...]] = {
    "all channels": (),
    "1/2 of the feed-forward units": ("*.intermediate_dense=1/2",),
    "3/4 of all": ("*=3/4",),
    "1/2 of all": ("*=1/2",),
}
NNCF = "OpenVINO + NNCF int8"
BEFORE = "hybrid int8 of before"
_CLIPS, _ROUNDS = 96, 150


@dataclass(frozen=True)
class Made:
    """One file.

    Args:
        name: in the table.
        path: of the file.
        structure: of its layers, in words.
    """

    name: str
    path: Path
    structure: str = ""


def make_files(heard: Corpus, folder: Path, limits: Sequence[str]) -> list[Made]:
    """Dynamic and static int8 with channels by hand, and a personal file for each limit."""
    hybrid = preset("hybrid")
    made: list[Made] = []
    for name, rules in BY_HAND.items():
        settings = replace(hybrid, channels=tuple(map(ChannelRule.parse, rules)))
        path = folder / f"{len(made)}.onnx"
        quantize_model(SOURCE, path, settings, heard)
        made.append(Made(f"hybrid int8, {name}", path))
    for limit in limits:
        click.echo(f"personalize --max-latency {limit}", err=True)
        path = folder / f"{len(made)}.onnx"
        wanted = PersonalizeSettings(quantize=hybrid, max_latency=limit)
        result = personalize(SOURCE, path, heard, BUDGET, wanted, cache=folder / "cache")
        latency = result.summary.latency
        kept = "" if latency is None or latency.is_kept else ", missed"
        words = ", ".join(f"{name}: {each}" for name, each in result.plan.structure.items())
        made.append(Made(f"`--max-latency {limit}`{kept}", path, words))
    return made


def made_before(checkout: Path, heard: Corpus, folder: Path) -> Made:
    """Dynamic and static int8 by the code of another checkout, which exports anew, too.

    Raises:
        ClickException: that code fails.
    """
    audio, source, path = folder / "heard", folder / "before-float32.onnx", folder / "before.onnx"
    audio.mkdir()
    for number, clip in enumerate(heard):
        assert clip.path is not None, "clips of a corpus are files"
        shutil.copyfile(clip.path, audio / f"{number:03}{clip.path.suffix}")
    quantize = ["quantize", source, "--preset", "hybrid", "--audio", audio, "-o", path]
    for arguments in (["export", MODEL, "-o", source], quantize):
        done = subprocess.run(
            [sys.executable, "-m", "quantkit", *map(str, arguments)],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise click.ClickException(f"{checkout}: {done.stderr.strip()}")
    return Made(BEFORE, path)


def milliseconds(paths: Sequence[Path], peer: openvino_peer.Peer | None) -> list[float]:
    """Of a second of sound, one thread, models in turns: medians of the processor's time.

    Args:
        peer: comes last, if there is one.
    """
    random = np.random.default_rng(0)
    clip = {
        "waveform": 0.1 * random.standard_normal((1, 16_000)).astype(np.float32),
        "lengths": np.array([16_000]),
    }
    sessions = [create_session(path, threads=1) for path in paths]
    runs: list[Callable[[], object]] = [partial(each.run, None, clip) for each in sessions]
    if peer is not None:
        runs.append(partial(peer.run, clip))
    effort = Effort(rounds=_ROUNDS, min_rounds=_ROUNDS)
    seconds = interleaved_seconds(runs, threads=1, effort=effort, clock=time.process_time)
    return [1000.0 * float(each) for each in np.median(seconds, axis=0)]


@dataclass(frozen=True)
class Measured:
    """One row of the table.

    Args:
        made: the file.
        ms: of a second of sound.
        errors: 1 or 0 for each clip.
        divergence: from float32, in nats per clip.
        size: bytes.
    """

    made: Made
    ms: float
    errors: FloatArray
    divergence: float
    size: int

    def gain(self, reference: Measured) -> tuple[float, float, float]:
        """Points of accuracy more than ``reference``, with the 95 % interval."""
        points = 100 * (reference.errors - self.errors)
        return (float(points.mean()), *bootstrap_interval(points))

    def row(self, reference: Measured, old: Measured | None) -> list[str]:
        """Of the table.

        Args:
            reference: float32.
            old: int8 of before, where there is one.
        """
        gain, low, high = self.gain(reference)
        return [
            self.made.name,
            f"{self.ms:.2f}",
            f"{reference.ms / self.ms:.2f}×",
            "" if old is None else f"{old.ms / self.ms:.2f}×",
            f"{self.size / 1e6:.2f}",
            f"{self.divergence:.4f}",
            "–" if self is reference else f"{gain:+.2f} [{low:+.2f}, {high:+.2f}]",
            self.made.structure,
        ]


def verdict(measured: Sequence[Measured], reference: Measured, old: Measured) -> str:
    """Whether a file takes half as long as int8 of before and is right as often, but for a point.

    A point is lost for sure if the whole interval is below, and not if none of it is.
    """
    fast = [each for each in measured if each is not old and 2 * each.ms <= old.ms]
    if not fast:
        best = min((each for each in measured if each is not old), key=lambda each: each.ms)
        share = old.ms / best.ms
        return f"Twice as fast as int8 of before: not shown, {share:.2f} times is the most."
    best = max(fast, key=lambda each: each.gain(reference)[1])
    gain, low, high = best.gain(reference)
    shown = "shown" if low >= -1 else "not shown" if gain < -1 else "shown by the mean alone"
    return (
        f"Twice as fast as int8 of before at one point of accuracy: {shown} by “{best.made.name}”, "
        f"{old.ms / best.ms:.2f} times as fast at {gain:+.2f} points [{low:+.2f}, {high:+.2f}]."
    )


def report(made: Sequence[Made], tested: Corpus, theirs: Path | None) -> str:
    """The section of RESULTS.md."""
    peer = None if theirs is None else openvino_peer.Peer(theirs)
    taken = milliseconds([SOURCE, *(each.path for each in made)], peer)
    held = HeldOut(SOURCE, tested)
    reference = Measured(
        Made("float32", SOURCE),
        taken[0],
        np.array(held.float_score.edits, float),
        0.0,
        total_size(SOURCE),
    )
    measured = []
    for each, ms in zip(made, taken[1:], strict=False):
        score = held.score(each.path)
        errors = np.array(score.edits, float)
        measured.append(Measured(each, ms, errors, score.divergence, total_size(each.path)))
    old = next((each for each in measured if each.made.name == BEFORE), None)
    rows = [each.row(reference, old) for each in (reference, *measured)]
    if theirs is not None:
        # Its posteriors are not compared here: its speed and size are.
        speeds = [f"{reference.ms / taken[-1]:.2f}×", f"{old.ms / taken[-1]:.2f}×" if old else ""]
        size = f"{openvino_peer.size(theirs) / 1e6:.2f}"
        rows.insert(1, [NNCF, f"{taken[-1]:.2f}", *speeds, size, "", "", ""])
    header = [
        "file",
        "ms",
        "speed",
        "of int8 before",
        "MB",
        "nats per clip",
        "accuracy, points",
        "structure",
    ]
    limited = any("--max-latency" in each.name for each in made)
    ways = ["`--channels`", *(["`personalize --max-latency`"] if limited else [])]
    people = len({clip.speaker for clip in tested if clip.speaker})
    return "\n\n".join(
        [
            "## A faster keyword spotter",
            "`python -m benchmarks.keyword_latency --data FOLDER`: the shipped keyword spotter "
            f"with fewer channels, by {' and by '.join(ways)}, from "
            f"{_CLIPS} clips of the people that training was validated on. Speed against float32 "
            "in ONNX Runtime on a second of sound, one thread, files in turns, median processor "
            "time; "
            f"divergence and accuracy (float32: {100 * (1 - reference.errors.mean()):.1f} %) on "
            f"{len(held)} clips of {people} people whom it never heard, with 95 % intervals of the "
            f"paired difference. {host()}.",
            *([] if old is None else [verdict(measured, reference, old)]),
            table(header, rows),
        ]
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--limit", "limits", multiple=True, default=LIMITS, show_default=True)
@click.option(
    "--before",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="An older checkout, whose int8 is measured, too.",
)
def main(data: Path, limits: tuple[str, ...], before: Path | None) -> None:
    """Make the files, measure them, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export MODEL={MODEL}` first")
    source = load_keyword_recipe(MODEL / "recipe.toml").sources[0]
    parts = {name: open_part(source, data / "speech_commands", name) for name in ("valid", "test")}
    heard = parts["valid"].sample(_CLIPS, 0)
    with tempfile.TemporaryDirectory() as folder:
        theirs = None
        if openvino_peer.available():
            feeds = [feed for _, feed in CalibrationData(heard, read_info(SOURCE))]
            path = Path(folder) / "nncf.xml"
            theirs = openvino_peer.quantize(SOURCE, path, feeds, transformer=True)
        old = [] if before is None else [made_before(before.resolve(), heard, Path(folder))]
        made = [*old, *make_files(heard, Path(folder), limits)]
        section = report(made, parts["test"], theirs)
    click.echo(section)
    replace_section("keyword-latency", section)


if __name__ == "__main__":
    main()

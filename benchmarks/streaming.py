"""A model that hears in chunks against the same one on whole clips, float32 and quantized.

Run it from the repository: ``python -m benchmarks.streaming --data DIR``. ``DIR`` has LibriSpeech
(`librispeech/`): its `train` clips are heard for calibration, errors are counted on `dev`, whose
speakers are others. It renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

import quantkit
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import rate_cell
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.chunks import time_chunks
from quantkit.benchmarking.schema import ChunkLatency
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info
from quantkit.runtime.speech_model import SpeechModel
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.tasks.open import open_speech_model
from quantkit.text.distances import error_counts, ratio_interval

MODEL = ROOT / "models" / "wav2letter-en"
#: Seconds of a chunk; None: whole clips.
CHUNKS: tuple[float | None, ...] = (None, 0.16, 0.32, 0.64)
PRESET = "hybrid"
Counts = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Heard:
    """What one model makes of all clips.

    Args:
        words, letters: (clips, 2): edits, and how many there are in the reference.
        latency: of its chunks; None for whole clips.
        divergence: from the same model in float32, heard the same way; None for that one.
    """

    words: Counts
    letters: Counts
    latency: ChunkLatency | None
    divergence: Estimate | None


def measure(data: Path, folder: Path, *, heard: int, tested: int, compared: int) -> list[Heard]:
    """Float32 and quantized, for each of :data:`CHUNKS`.

    Args:
        heard: clips that ranges are laid for.
        tested: clips in which errors are counted; 0: all.
        compared: clips on which posteriors are compared.
    """
    corpus = open_corpus(data / "librispeech")
    learnt = corpus.select(split="train").sample(heard)
    test = corpus.select(split="dev")
    test = test.sample(tested) if tested else test
    pairs = []
    for seconds in CHUNKS:
        name = "whole" if seconds is None else f"{1000 * seconds:.0f}"
        path = quantkit.export(MODEL, folder / f"{name}.onnx", chunk=seconds).path
        small = quantkit.quantize(path, folder / f"{name}-{PRESET}.onnx", PRESET, learnt).path
        pairs.append((path, small))
    paths = [path for pair in pairs for path in pair]
    models = [open_speech_model(path) for path in paths]
    typical = sorted(test, key=lambda clip: clip.seconds or 0.0)[len(test) // 2]
    # A session with one thread computes in that of its caller; others share the host.
    inputs = [model.features(typical) for model in models]
    latencies = time_chunks(models, inputs, time.thread_time)
    some = test.sample(compared)
    found = []
    for number, (path, model) in enumerate(zip(paths, models, strict=True)):
        divergence = None
        if number % 2:
            before = paths[number - 1]
            feeds = CalibrationData(some, read_info(before), before)
            divergence = model_divergence(before, path, feeds)
        words, letters = errors(model, test)
        found.append(Heard(words, letters, latencies[number], divergence))
    return found


def errors(model: SpeechModel, clips: Corpus) -> tuple[Counts, Counts]:
    """Edits of words and of letters, clip by clip; see :class:`Heard`."""
    words: list[tuple[int, int]] = []
    letters: list[tuple[int, int]] = []
    for clip in clips:
        (output,) = model.outputs([model.features(clip)])
        said, meant = model.text_of(output), clip.text or ""
        for found, cut in ((words, str.split), (letters, list)):
            counts = error_counts(cut(meant), cut(said))
            found.append((counts.errors, counts.reference_length))
    return np.array(words, np.float64), np.array(letters, np.float64)


def report(rows: Sequence[Heard], arguments: Mapping[str, int]) -> str:
    """The section of RESULTS.md."""
    whole, whole_small = rows[:2]
    cells, changes = [], []
    for number, seconds in enumerate(CHUNKS):
        before, after = rows[2 * number : 2 * number + 2]
        name = "whole clip" if seconds is None else f"{1000 * seconds:.0f} ms"
        for kind, row in (("float32", before), (PRESET, after)):
            cells.append([f"{name}, {kind}", _rate(row.letters), _rate(row.words), *_times(row)])
        added = after.letters - before.letters
        of_whole = whole_small.letters - whole.letters
        changes.append(
            [
                name,
                _difference(before.letters[:, 0] - whole.letters[:, 0], whole.letters),
                _difference(added[:, 0], before.letters),
                "" if seconds is None else _difference((added - of_whole)[:, 0], before.letters),
                "" if after.divergence is None else f"{after.divergence.mean:.5f}",
            ]
        )
    options = " ".join(f"--{name} {value}" for name, value in arguments.items())
    clips = len(whole.words)
    latency = rows[2].latency
    look_ahead = 0.0 if latency is None else latency.look_ahead_seconds
    return f"""## Hearing in chunks

`python -m benchmarks.streaming {options}`: the shipped Wav2Letter on
whole clips, and exported with `--streaming` for chunks of three lengths (look-ahead
{look_ahead:.2f} s); greedy, {clips} clips of LibriSpeech dev. In chunks, features are normalised by
what was heard so far. Quantized by the preset `{PRESET}` on {arguments["heard"]} clips of other
speakers. Latency is the processor's time for one chunk on one thread, models in turns; the
real-time factor is its mean per second of audio.
{host()}.

{table(["model", "CER", "WER", "p50 ms", "p95 ms", "real-time factor"], cells)}

Changes of the CER in points, paired by clip: by hearing in chunks at all, by quantizing, and how
much more quantizing adds in chunks than in whole clips. Divergence is that of the quantized model
from float32 heard the same way, chunk by chunk, in nats per frame.

{
        table(
            ["chunk", "by chunks", "by quantizing", "more than in whole clips", "nats per frame"],
            changes,
        )
    }
"""


def _rate(counts: Counts) -> str:
    return rate_cell(*counts.T)


def _difference(edits: Counts, counts: Counts) -> str:
    lengths = counts[:, 1]
    low, high = ratio_interval(edits, lengths)
    return f"{100 * edits.sum() / lengths.sum():+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def _times(row: Heard) -> list[str]:
    if row.latency is None:
        return ["", "", ""]
    return [f"{row.latency.p50:.2f}", f"{row.latency.p95:.2f}", f"{row.latency.rtf:.4f}"]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--heard", default=32, show_default=True, help="Clips to calibrate on.")
@click.option("--tested", default=0, show_default=True, help="Clips to count errors in; 0: all.")
@click.option("--compared", default=24, show_default=True, help="Clips to compare posteriors on.")
def main(data: Path, heard: int, tested: int, compared: int) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as name:
        rows = measure(data, Path(name), heard=heard, tested=tested, compared=compared)
    section = report(rows, {"heard": heard, "tested": tested, "compared": compared})
    replace_section("streaming", section)
    click.echo(section)


if __name__ == "__main__":
    main()

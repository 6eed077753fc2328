"""A trained transducer: as the zoos quantize it, and as quantkit does.

Run it from the repository: ``python -m benchmarks.transducer --data DIR --model FOLDER``. ``DIR``
has the spoken digits (`digits/`), ``FOLDER`` is a TDT of English digits in onnx-asr's layout. The
words of a clip are takes of one speaker with pauses between them, takes that the model was not
trained on. It renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from benchmarks.results import host, replace_section, table
from quantkit.api.inputs import float_model
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import read_info
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.report.formatting import Interval
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import open_session, session_options
from quantkit.runtime.transducer.model import Transducer
from quantkit.runtime.transducer.search import greedy_path
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.text.distances import error_counts, ratio_interval

FILES = ("encoder-model.onnx", "decoder_joint-model.onnx")
RATE, NOISE_DB = 16_000, 10.0
#: Codecs of the uniform files; the kernels compute in int8 in each of them.
CODECS = ("int8", "grouped:4", "grouped:3")


@dataclass(frozen=True)
class Row:
    """What was found of one folder.

    Args:
        name: what it was made with.
        megabytes: of its graphs.
        errors: (clean, noisy) share of words that are wrong, and 95 % intervals.
        divergence: of the distributions of labels and durations, in nats per point.
        speeds: against float32: of the encoder, of the decoder, and of both.
    """

    name: str
    megabytes: float
    errors: tuple[tuple[float, Interval], ...]
    divergence: Estimate
    speeds: tuple[float, float, float]


def sequences(digits: Corpus, count: int, seed: int, noise_db: float | None = None) -> Corpus:
    """Clips of three to seven words, each of one speaker.

    Args:
        noise_db: level of the speech above white noise that is added; None: none is.
    """
    # Noise has numbers of its own, so that the words are the same with it.
    random, hiss = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    speakers = sorted({clip.speaker for clip in digits})
    by_speaker = {name: [clip for clip in digits if clip.speaker == name] for name in speakers}
    made = []
    for number in range(count):
        speaker = speakers[number % len(speakers)]
        takes = by_speaker[speaker]
        chosen = [takes[i] for i in random.choice(len(takes), int(random.integers(3, 8)))]
        parts = [_pause(random)]
        for take in chosen:
            parts += [load_waveform(take, RATE), _pause(random)]
        samples = np.concatenate(parts)
        if noise_db is not None:
            power = float(np.square(samples).mean()) / 10 ** (noise_db / 10)
            noise = np.sqrt(power) * hiss.standard_normal(samples.size)
            samples = np.clip(samples + noise, -1.0, 1.0).astype(np.float32)
        made.append(
            Utterance(
                None,
                text=" ".join(take.text or "" for take in chosen),
                speaker=speaker,
                seconds=samples.size / RATE,
                name=f"{speaker} {number}",
                waveform=samples,
                sample_rate=RATE,
            )
        )
    return Corpus("sequences of digits", tuple(made))


def _pause(random: np.random.Generator) -> FloatArray:
    return np.zeros(round(RATE * random.uniform(0.1, 0.4)), np.float32)


def zoo(source: Path, folder: Path, operators: Sequence[str] | None) -> Path:
    """As published folders are quantized: ``quantize_dynamic`` on each graph."""
    folder.mkdir()
    for name in FILES:
        quantize_dynamic(
            source / name,
            folder / name,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=None if operators is None else [*operators],
        )
    for name in ("vocab.txt", "config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def word_errors(model: quantkit.Model, clips: Corpus) -> tuple[float, Interval]:
    """Share of the words that are wrong, over all clips."""
    errors, words = [], []
    for clip in clips:
        assert clip.waveform is not None
        counts = error_counts(
            (clip.text or "").split(), model.transcribe(clip.waveform, RATE).text.split()
        )
        errors.append(counts.errors)
        words.append(counts.reference_length)
    return sum(errors) / sum(words), ratio_interval(np.array(errors), np.array(words))


def speeds(
    folders: Sequence[Path], reference: Path, clip: FloatArray, seconds: float
) -> npt.NDArray[np.float64]:
    """(folders, 3): encoder, decoder, and both for one clip, against the first folder.

    Of the sessions alone, with the inputs that onnx-asr gives them.

    Args:
        reference: float32 as an artifact, whose path through the clip all decoders take.
    """
    model = Transducer.load(reference, threads=1)
    features = model.features(clip)
    (encoded,) = model.network.encode([features])
    labels = model.labels
    path = [*greedy_path(model.network, encoded, len(labels), labels.blank)]
    audio = {"audio_signal": features.T[None], "length": np.array([len(features)])}
    points = [
        {
            "encoder_outputs": encoded[point.frame][None, :, None],
            "targets": np.array([point.step.memory.tokens], np.int32),
            "target_length": np.ones(1, np.int32),
            "input_states_1": point.step.memory.states["state.1"],
            "input_states_2": point.step.memory.states["state.2"],
        }
        for point in path
    ]
    sessions = [[create_onnx_session(folder / name) for name in FILES] for folder in folders]

    def decode(session: onnxruntime.InferenceSession) -> None:
        for point in points:
            session.run(["outputs", "output_states_1", "output_states_2"], point)

    times = []
    for runs in (
        [partial(encoder.run, None, audio) for encoder, _ in sessions],
        [partial(decode, decoder) for _, decoder in sessions],
    ):
        taken = interleaved_seconds(
            runs,
            threads=1,
            effort=Effort(rounds=400, min_rounds=5, seconds=seconds),
            # A session with one thread computes in that of its caller; others share the host.
            clock=time.thread_time,
        )
        times.append(np.median(taken, axis=0))
    table = np.array([*times, times[0] + times[1]])
    ratios: npt.NDArray[np.float64] = (table[:, :1] / table).T
    return ratios


def create_onnx_session(path: Path) -> onnxruntime.InferenceSession:
    """As a program opens the file, on one thread."""
    return open_session(path, session_options(threads=1))


def measure(
    data: Path,
    source: Path,
    folder: Path,
    *,
    heard: int,
    tested: int,
    seconds: float,
    personal: bool,
) -> list[Row]:
    """Every folder on the same clips.

    Args:
        personal: whether one is personalised to the size of the smallest.
    """
    digits = open_corpus(data / "digits")
    learnt = sequences(digits.select(split="train"), heard, 0)
    test = digits.select(split="test")
    clips = [sequences(test, tested, 1), sequences(test, tested, 1, NOISE_DB)]
    folders = {
        "float32": source,
        "quantize_dynamic": zoo(source, folder / "zoo", None),
        "quantize_dynamic, MatMul only": zoo(source, folder / "zoo-matmul", ["MatMul"]),
    }
    hybrid = quantkit.quantize(source, folder / "hybrid", "hybrid", learnt)
    folders["quantkit, int8, hybrid"] = hybrid.path
    for codec in CODECS:
        settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse(codec))
        place = folder / codec.replace(":", "-")
        folders[f"quantkit, {codec}"] = quantkit.quantize(source, place, settings, learnt).path
    if personal:
        budget = _bytes(folders[f"quantkit, {CODECS[-1]}"])
        name = f"quantkit, personalised to {budget / 1e6:.2f} MB"
        quantkit.personalize(source, folder / "personal", learnt, budget, cache=folder / "cache")
        folders[name] = folder / "personal"
    artifacts = {name: _artifact(each, folder) for name, each in folders.items()}
    reference = artifacts["float32"]
    feeds = CalibrationData(clips[0], read_info(reference), reference)
    prepared = PreparedModel.of(reference)
    waveform = clips[0].utterances[0].waveform
    assert waveform is not None
    ratios = speeds([*folders.values()], reference, waveform, seconds)
    return [
        Row(
            name,
            _bytes(folders[name]) / 1e6,
            tuple(word_errors(quantkit.load(path), each) for each in clips),
            model_divergence(prepared, path, feeds),
            (float(speed[0]), float(speed[1]), float(speed[2])),
        )
        for (name, path), speed in zip(artifacts.items(), ratios, strict=True)
    ]


def _bytes(folder: Path) -> int:
    return sum((folder / name).stat().st_size for name in FILES)


def _artifact(model: Path, folder: Path) -> Path:
    """A folder as sessions open it."""
    with float_model(model) as path:
        if path.parent == model:
            return path
        return quantkit.export(model, folder / f"{model.name}.onnx").path


def report(rows: Sequence[Row], heard: int, tested: int) -> str:
    """The section of RESULTS.md."""
    header = [
        "folder",
        "MB",
        "WER, clean",
        f"WER, noise at {NOISE_DB:g} dB",
        "nats per point",
        "encoder",
        "decoder",
        "both",
    ]
    cells = [
        [
            row.name,
            f"{row.megabytes:.2f}",
            *(
                f"{100 * rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
                for rate, (low, high) in row.errors
            ),
            f"{row.divergence.mean:.4f}",
            *(f"{speed:.2f}×" for speed in row.speeds),
        ]
        for row in rows
    ]
    return f"""## A trained transducer

`python -m benchmarks.transducer --heard {heard} --tested {tested}`: a TDT of English digits in
onnx-asr's layout (2.75 M weights, an encoder of six FastConformer blocks, a predictor of two LSTM
layers). {tested} clips of three to seven held-out takes of one speaker each, clean and with white
noise; divergence of the distributions of labels and durations along the path that float32 takes, on
the clean ones. Speeds are medians of the processor time of interleaved runs of the sessions on one
thread, against float32. Files of quantkit are fitted to {heard} clips of training takes; all of
their layers that can compute in int8 do, with ranges of each clip, but for `hybrid`, whose
convolutions have calibrated ones. {host()}.

{table(header, cells)}
"""


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--heard", default=16, show_default=True, help="Clips to fit to.")
@click.option("--tested", default=120, show_default=True, help="Clips to count errors in.")
@click.option("--seconds", default=10.0, show_default=True, help="Of each comparison of speed.")
@click.option("--personal/--no-personal", default=True, help="Personalise one, too.")
def main(data: Path, model: Path, heard: int, tested: int, seconds: float, personal: bool) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as name:
        rows = measure(
            data, model, Path(name), heard=heard, tested=tested, seconds=seconds, personal=personal
        )
    section = report(rows, heard, tested)
    replace_section("transducer", section)
    click.echo(section)


if __name__ == "__main__":
    main()

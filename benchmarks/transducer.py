"""A trained transducer: as the zoos quantize it, and as quantkit does.

Run it from the repository: ``python -m benchmarks.transducer --data DIR --model FOLDER``. ``DIR``
has the spoken digits (`digits/`), ``FOLDER`` is a TDT of English digits in onnx-asr's layout, or a
checkpoint that ``quantkit train`` wrote, such as that of ``models/transducer-en``. The words of a
clip are takes of one speaker with pauses between them, takes that the model was not trained on. It
renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
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
from quantkit.graph.artifact import model_files, read_info
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.report.formatting import Interval
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import open_session, session_options
from quantkit.runtime.speech_model import SpeechModel
from quantkit.runtime.transducer.model import Transducer
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.search import Point, greedy_path
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.text.distances import error_counts, ratio_interval

FILES = ("encoder-model.onnx", "decoder_joint-model.onnx")
RATE, NOISE_DB = 16_000, 10.0
#: Codecs of the uniform files; the kernels compute in int8 in each of them.
CODECS = ("int8", "grouped:4", "grouped:3")
#: Section, its heading, and what was measured.
_PUBLISHED = (
    "transducer",
    "A trained transducer",
    """a TDT of English digits in
onnx-asr's layout (2.75 M weights, an encoder of six FastConformer blocks, a predictor of two LSTM
layers)""",
)
_OWN = (
    "own-transducer",
    "The transducer of models/transducer-en, quantized",
    """the TDT of
`models/transducer-en` (2.28 M weights, an encoder of four FastConformer blocks, a predictor of one
LSTM layer), as an artifact of three graphs""",
)


@dataclass(frozen=True)
class Row:
    """What was found of one model.

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


def graphs_of(model: Path) -> list[Path]:
    """The files of a folder in onnx-asr's layout, or of an artifact."""
    return [model / name for name in FILES] if model.is_dir() else [*model_files(model)]


def zoo(source: Path, folder: Path, operators: Sequence[str] | None) -> Path:
    """As published folders are quantized: ``quantize_dynamic`` on each graph."""
    folder.mkdir()
    for graph in graphs_of(source):
        quantize_dynamic(
            graph,
            folder / graph.name,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=None if operators is None else [*operators],
        )
    if not source.is_dir():
        _forget_plan(folder / source.name)
        return folder / source.name
    for name in ("vocab.txt", "config.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def _forget_plan(path: Path) -> None:
    """Its layers have other names now, and nothing of ours says how they are stored."""
    model = onnx.load(path)
    for place in reversed(range(len(model.metadata_props))):
        if model.metadata_props[place].key == "quantkit.plan":
            del model.metadata_props[place]
    onnx.save(model, path)


def word_errors(model: SpeechModel, clips: Corpus) -> tuple[float, Interval]:
    """Share of the words that are wrong, over all clips."""
    errors, words = [], []
    for clip in clips:
        (output,) = model.outputs([model.features(clip)])
        counts = error_counts((clip.text or "").split(), model.text_of(output).split())
        errors.append(counts.errors)
        words.append(counts.reference_length)
    return sum(errors) / sum(words), ratio_interval(np.array(errors), np.array(words))


def speeds(
    folders: Sequence[Path], reference: Path, clip: FloatArray, seconds: float
) -> npt.NDArray[np.float64]:
    """(models, 3): encoder, decoder, and both for one clip, against the first of them.

    Of the sessions alone, with the inputs that onnx-asr gives them, or, of artifacts, that quantkit
    does.

    Args:
        reference: float32 as an artifact, whose path through the clip all decoders take.
    """
    model = Transducer.load(reference, threads=1)
    features = model.features(clip)
    (encoded,) = model.network.encode([features])
    labels = model.labels
    path = [*greedy_path(model.network, encoded, len(labels), labels.blank)]
    if not folders[0].is_dir():
        networks = [Transducer.load(each, threads=1, check=False).network for each in folders]
        return _ratios(
            [partial(network.encode, [features]) for network in networks],
            [partial(_follow, network, encoded, path) for network in networks],
            seconds,
        )
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

    return _ratios(
        [partial(encoder.run, None, audio) for encoder, _ in sessions],
        [partial(decode, decoder) for _, decoder in sessions],
        seconds,
    )


def _follow(network: TransducerNetwork, encoded: FloatArray, path: Sequence[Point]) -> None:
    """Run predictor and joiner at each point of a path."""
    for point in path:
        network.step(encoded[point.frame], replace(point.step.memory, read=None))


def _ratios(
    encoders: Sequence[Callable[[], object]],
    decoders: Sequence[Callable[[], object]],
    seconds: float,
) -> npt.NDArray[np.float64]:
    """(models, 3), see :func:`speeds`."""
    times = []
    for runs in (encoders, decoders):
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
    """Every model on the same clips.

    Args:
        personal: whether one is personalised to the size of the smallest.
    """
    if (source / "card.json").is_file():
        source = quantkit.export(source, folder / "float32.onnx").path
    suffix = "" if source.is_dir() else ".onnx"
    digits = open_corpus(data / "digits")
    learnt = sequences(digits.select(split="train"), heard, 0)
    test = digits.select(split="test")
    clips = [sequences(test, tested, 1), sequences(test, tested, 1, NOISE_DB)]
    folders = {
        "float32": source,
        "quantize_dynamic": zoo(source, folder / "zoo", None),
        "quantize_dynamic, MatMul only": zoo(source, folder / "zoo-matmul", ["MatMul"]),
    }
    hybrid = quantkit.quantize(source, folder / f"hybrid{suffix}", "hybrid", learnt)
    folders["quantkit, int8, hybrid"] = hybrid.path
    for codec in CODECS:
        settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse(codec))
        place = folder / (codec.replace(":", "-") + suffix)
        folders[f"quantkit, {codec}"] = quantkit.quantize(source, place, settings, learnt).path
    if personal:
        budget = _bytes(folders[f"quantkit, {CODECS[-1]}"])
        name = f"quantkit, personalised to {budget / 1e6:.2f} MB"
        folders[name] = folder / f"personal{suffix}"
        quantkit.personalize(source, folders[name], learnt, budget, cache=folder / "cache")
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
            tuple(word_errors(Transducer.load(path, check=False), each) for each in clips),
            model_divergence(prepared, path, feeds),
            (float(speed[0]), float(speed[1]), float(speed[2])),
        )
        for (name, path), speed in zip(artifacts.items(), ratios, strict=True)
    ]


def _bytes(model: Path) -> int:
    return sum(graph.stat().st_size for graph in graphs_of(model))


def _artifact(model: Path, folder: Path) -> Path:
    """A folder as sessions open it."""
    if not model.is_dir():
        return model
    with float_model(model) as path:
        if path.parent == model:
            return path
        return quantkit.export(model, folder / f"{model.name}.onnx").path


def report(rows: Sequence[Row], heard: int, tested: int, what: str, title: str) -> str:
    """The section of RESULTS.md.

    Args:
        what: was measured, as ``title`` calls it.
    """
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
    return f"""## {title}

`python -m benchmarks.transducer --heard {heard} --tested {tested}`: {what}.
{tested} clips of three to seven held-out takes of one speaker each, clean and with white
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
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(
            data,
            model,
            Path(scratch),
            heard=heard,
            tested=tested,
            seconds=seconds,
            personal=personal,
        )
    own = (model / "card.json").is_file()
    name, title, what = _OWN if own else _PUBLISHED
    section = report(rows, heard, tested, what, title)
    replace_section(name, section)
    click.echo(section)


if __name__ == "__main__":
    main()

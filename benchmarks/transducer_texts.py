"""One trained transducer in three programs: do they write the same?

Run it from the repository: ``python -m benchmarks.transducer_texts --data DIR --model FOLDER``.
``DIR`` has the spoken digits (`digits/`), ``FOLDER`` is a TDT of English digits in onnx-asr's
layout, whose predictor and joiner, which are one graph there, become two for sherpa-onnx. Each
file, as published, as the zoos quantize it and as quantkit does, is opened by quantkit's runner and
by the program that its layout is for. It renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnx import helper
from onnx.utils import Extractor
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import word_error_rate
from benchmarks.transducer import CODECS, FILES, NOISE_DB, RATE, sequences, zoo
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization.choices.settings import QuantizeSettings

THREE = ("encoder.onnx", "decoder.onnx", "joiner.onnx")
# What the joiner reads of the predictor, in the graph that is both.
_READ = "/decoder_projector/Add_output_0"
_TURNED = [0, 2, 1]
# Noise by which a clip is moved: a thirtieth of a step of 16 bits; and how often.
_LEAST, _TRIES = 1e-6, 16

Texts = list[str]


@dataclass(frozen=True)
class Row:
    """One folder in two programs.

    Args:
        program: beside quantkit's runner.
        name: how the folder was made.
        ours, theirs: their texts, clip by clip.
        verge: clips of two texts of which our runner writes both; see :func:`on_the_verge`.
    """

    program: str
    name: str
    ours: Texts
    theirs: Texts
    verge: int


def in_three_graphs(source: Path, folder: Path) -> Path:
    """The transducer of onnx-asr's layout in that of sherpa-onnx."""
    folder.mkdir()
    encoder, both = (onnx.load(source / name) for name in FILES)
    state = next(value for value in both.graph.input if value.name == "input_states_1")
    layers, _, size = (dim.dim_value for dim in state.type.tensor_type.shape.dim)
    labels = len((source / "vocab.txt").read_text(encoding="utf-8").splitlines())
    helper.set_model_props(
        encoder,
        {
            "vocab_size": str(labels - 1),
            "normalize_type": "per_feature",
            "pred_rnn_layers": str(layers),
            "pred_hidden": str(size),
            "subsampling_factor": "8",
            "model_type": "EncDecRNNTBPEModel",
            "feat_dim": str(encoder.graph.input[0].type.tensor_type.shape.dim[1].dim_value),
            # It is by this that sherpa-onnx knows durations.
            "url": "https://example.org/a-tdt",
        },
    )
    onnx.save(encoder, folder / THREE[0])
    parts = Extractor(onnx.shape_inference.infer_shapes(both))
    inputs = ["targets", "target_length", "input_states_1", "input_states_2"]
    after = ["prednet_lengths", "output_states_1", "output_states_2"]
    predictor = parts.extract_model(inputs, [_READ, *after])
    turned = helper.make_node("Transpose", [_READ], ["outputs"], "/turned", perm=_TURNED)
    predictor.graph.node.append(turned)
    given = helper.make_tensor_value_info("outputs", 1, ["batch", size, "symbols"])
    predictor.graph.output[0].CopyFrom(given)
    onnx.save(predictor, folder / THREE[1])
    joiner = parts.extract_model(["encoder_outputs", _READ], ["outputs"])
    joiner.graph.node.insert(
        0, helper.make_node("Transpose", ["decoder_outputs"], [_READ], "/turned", perm=_TURNED)
    )
    taken = helper.make_tensor_value_info("decoder_outputs", 1, ["batch", size, "symbols"])
    joiner.graph.input[1].CopyFrom(taken)
    onnx.save(joiner, folder / THREE[2])
    (folder / "tokens.txt").write_bytes((source / "vocab.txt").read_bytes())
    return folder


def zoo_in_three(source: Path, folder: Path) -> Path:
    """As sherpa-onnx's scripts quantize it: ``quantize_dynamic`` on each graph."""
    folder.mkdir()
    for name in THREE:
        quantize_dynamic(source / name, folder / name, weight_type=QuantType.QInt8)
    (folder / "tokens.txt").write_bytes((source / "tokens.txt").read_bytes())
    return folder


def onnx_asr(folder: Path) -> Callable[[FloatArray], str]:
    """onnx-asr on the folder."""
    import onnx_asr as program

    model: Any = program.load_model("nemo-conformer-tdt", folder)
    return lambda clip: str(model.recognize(clip, sample_rate=RATE))


def sherpa_onnx(folder: Path) -> Callable[[FloatArray], str]:
    """sherpa-onnx on the folder."""
    import sherpa_onnx as program

    encoder, decoder, joiner = (str(folder / name) for name in THREE)
    recognizer: Any = program.OfflineRecognizer.from_transducer(
        encoder=encoder,
        decoder=decoder,
        joiner=joiner,
        tokens=str(folder / "tokens.txt"),
        model_type="nemo_transducer",
    )

    def text(clip: FloatArray) -> str:
        stream = recognizer.create_stream()
        stream.accept_waveform(RATE, clip)
        recognizer.decode_stream(stream)
        return str(stream.result.text)

    return text


def on_the_verge(model: quantkit.Model, clip: FloatArray, text: str) -> bool:
    """Whether ``model`` writes ``text`` where the clip differs by less than programs' features do.

    Programs add up in other orders, so their features differ in the last digits, and a value that
    lies between two levels of a dynamic grid becomes the one or the other.
    """
    random = np.random.default_rng(0)
    for _ in range(_TRIES):
        noise = random.uniform(-_LEAST, _LEAST, clip.size)
        moved = (clip + noise).astype(np.float32)
        if model.transcribe(moved, RATE).text.split() == text.split():
            return True
    return False


def folders_of(source: Path, scratch: Path, heard: Corpus, zoos: Path) -> dict[str, Path]:
    """As it is, as the zoos quantize it, and as quantkit does."""
    found = {"float32": source, "quantize_dynamic": zoos}
    for codec in CODECS:
        settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse(codec))
        place = scratch / f"{source.name}-{codec.replace(':', '-')}"
        found[f"quantkit, {codec}"] = quantkit.quantize(source, place, settings, heard).path
    return found


def compared(
    program: str,
    name: str,
    model: quantkit.Model,
    hears: Callable[[FloatArray], str],
    clips: Sequence[FloatArray],
) -> Row:
    """What both write of each clip."""
    ours = [model.transcribe(clip, RATE).text for clip in clips]
    theirs = [hears(clip) for clip in clips]
    verge = sum(
        on_the_verge(model, clip, other)
        for clip, own, other in zip(clips, ours, theirs, strict=True)
        if own.split() != other.split()
    )
    return Row(program, name, ours, theirs, verge)


def waveforms(clips: Corpus) -> list[FloatArray]:
    """Of clips that were made in memory."""
    return [clip.waveform for clip in clips if clip.waveform is not None]


def report(rows: Sequence[Row], meant: Sequence[str], arguments: str) -> str:
    """The section of RESULTS.md."""
    cells = []
    for row in rows:
        rates = [word_error_rate(meant, texts) for texts in (row.ours, row.theirs)]
        same = sum(a.split() == b.split() for a, b in zip(row.ours, row.theirs, strict=True))
        agree = f"{same} of {len(meant)}"
        cells.append([row.program, row.name, agree, f"{row.verge}", *rates])
    header = [
        "program",
        "folder",
        "clips of the same text",
        "others on the verge",
        "WER of quantkit's runner",
        "WER of it",
    ]
    return f"""## One transducer in three programs

`python -m benchmarks.transducer_texts {arguments}`: the TDT of English digits, in onnx-asr's layout
and, with its predictor and joiner apart, in that of sherpa-onnx. Clips of three to seven held-out
takes of one speaker each, half of them with white noise at {NOISE_DB:g} dB. sherpa-onnx makes
NeMo's features otherwise than NeMo, and quantkit hears folders for it as it does. Clips are on the
verge where our runner writes the other program's text, too, once noise of {_LEAST:g} is added, a
thirtieth of a step of 16 bits. {host()}.

{table(header, cells)}
"""


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--heard", default=8, show_default=True, help="Clips to fit to.")
@click.option("--tested", default=60, show_default=True, help="Clips of each kind to compare.")
def main(data: Path, model: Path, heard: int, tested: int) -> None:
    """Measure, and renew the section in RESULTS.md."""
    digits = open_corpus(data / "digits")
    learnt = sequences(digits.select(split="train"), heard, 0)
    test = digits.select(split="test")
    kinds = [sequences(test, tested, 1), sequences(test, tested, 1, NOISE_DB)]
    clips = [each for kind in kinds for each in waveforms(kind)]
    meant = [clip.text or "" for kind in kinds for clip in kind]
    rows = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        three = in_three_graphs(model, scratch / "three")
        for program, opened, folders in (
            (
                "onnx-asr",
                onnx_asr,
                folders_of(model, scratch, learnt, zoo(model, scratch / "zoo", None)),
            ),
            (
                "sherpa-onnx",
                sherpa_onnx,
                folders_of(three, scratch, learnt, zoo_in_three(three, scratch / "zoo3")),
            ),
        ):
            for kind, folder in folders.items():
                rows.append(compared(program, kind, quantkit.load(folder), opened(folder), clips))
    section = report(rows, meant, f"--heard {heard} --tested {tested}")
    replace_section("transducer-texts", section)
    click.echo(section)


if __name__ == "__main__":
    main()

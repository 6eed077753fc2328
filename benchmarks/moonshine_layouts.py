"""Moonshine base in sherpa-onnx's first layout: what sherpa-onnx hears in it, and in ours of it.

Run it from the repository: ``python -m benchmarks.moonshine_layouts --model FOLDER --data FOLDER``.
The one holds ``encoder_model.onnx``, ``decoder_model_merged.onnx`` and ``tokens.txt``, as
``onnx-community/moonshine-base-ONNX`` does; its weights are put into the four graphs that
Moonshine's authors first published (:mod:`benchmarks.moonshine_graphs`). The other one holds
``librispeech``, on whose `dev` clips errors are counted. sherpa-onnx opens the folders, and
quantkit's own runner hears the same clips. It renews its section of
RESULTS.md.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from benchmarks.moonshine_graphs import STEMS, Sizes, Weights, write_four
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import rate_cell
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.merged_decoder import add_up_weights, branch_of
from quantkit.graph.tensors import tensor_array
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.text.distances import error_counts
from quantkit.text.label_files.written_tokens import TOKENS_TXT
from quantkit.text.scoring import WrittenTextScoring

RATE = 16_000
LAYERS, HEADS, PAIRS = 8, 8, 16
_SCORING = WrittenTextScoring()
# What nodes with a weight hold, by operator.
_KINDS = {"MatMul": "product", "Conv": "weight", "Gather": "weight", "Add": "bias"}


@dataclass(frozen=True)
class Row:
    """What sherpa-onnx makes of one folder.

    Args:
        name: how it was made.
        megabytes: of its four graphs.
        errors: (clips, 2): word errors, and words of the reference.
        same: clips whose text quantkit's runner writes, too, as far as both go on.
        seconds: that sherpa-onnx took for all clips.
    """

    name: str
    megabytes: float
    errors: np.ndarray
    same: int
    seconds: float


def weights_in(folder: Path) -> Weights:
    """Weights of a folder of onnx-community, by their names in ``transformers``."""
    encoder = onnx.load(folder / "encoder_model.onnx")
    merged = onnx.load(folder / "decoder_model_merged.onnx")
    outputs = [value.name for value in merged.graph.output]
    first = branch_of(merged, later=False, outputs=outputs)
    found: dict[str, FloatArray] = {}
    for model, prefix in ((encoder, "model.encoder."), (first, "")):
        add_up_weights(model.graph)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            held = [name for name in node.input if name in tensors]
            module = prefix + ".".join(node.name.strip("/").split("/")[:-1])
            if held and (kind := _KINDS.get(node.op_type)) and "norm." not in f"{module}.":
                arrays = [tensor_array(tensors[name]) for name in held]
                _take(found, module, kind, arrays)
            elif held and node.op_type in ("Mul", "Add") and "norm" in module:
                kind = "weight" if node.op_type == "Mul" else "bias"
                _take(found, module, kind, [tensor_array(tensors[held[0]])])
    return {**found, "proj_out.weight": found["model.decoder.embed_tokens.weight"]}


def _take(found: dict[str, FloatArray], module: str, kind: str, arrays: list[FloatArray]) -> None:
    if module.endswith("rotary_emb"):
        found[f"{module}.inv_freq"] = arrays[0].reshape(-1)
        return
    for theirs, ours in (("dense", "o_proj"), ("mlp.up_proj", "mlp.fc1"), ("down_proj", "fc2")):
        module = module.replace(theirs, ours)
    if kind == "product":
        found[f"{module}.weight"] = np.ascontiguousarray(arrays[0].T)
    elif arrays[0].ndim:
        names = ("weight", "bias") if kind == "weight" else (kind,)
        found |= {f"{module}.{name}": each for name, each in zip(names, arrays, strict=False)}


def zoo(source: Path, folder: Path) -> Path:
    """As sherpa-onnx publishes it: all but what makes features by ``quantize_dynamic``."""
    folder.mkdir()
    for stem in STEMS[1:]:
        quantize_dynamic(
            source / f"{stem}.onnx", folder / f"{stem}.onnx", weight_type=QuantType.QInt8
        )
    for name in (f"{STEMS[0]}.onnx", TOKENS_TXT):
        shutil.copy(source / name, folder)
    return folder


def sherpa(folder: Path) -> Callable[[FloatArray], str]:
    """sherpa-onnx on one thread."""
    import sherpa_onnx

    preprocess, encode, first, later = (str(folder / f"{stem}.onnx") for stem in STEMS)
    recognizer: Any = sherpa_onnx.OfflineRecognizer.from_moonshine(
        preprocessor=preprocess,
        encoder=encode,
        uncached_decoder=first,
        cached_decoder=later,
        tokens=str(folder / TOKENS_TXT),
        num_threads=1,
    )

    def text(clip: FloatArray) -> str:
        stream = recognizer.create_stream()
        stream.accept_waveform(RATE, clip)
        recognizer.decode_stream(stream)
        return str(stream.result.text)

    return text


def measure(folder: Path, clips: Corpus, name: str) -> Row:
    """Texts of both programs, and the errors of sherpa-onnx's."""
    hears, ours = sherpa(folder), quantkit.load(folder)
    errors, same, taken = [], 0, 0.0
    for clip in clips:
        samples = load_waveform(clip, RATE)
        begin = time.process_time()
        text = hears(samples)
        taken += time.process_time() - begin
        # It gives a text up at six tokens for a second, and quantkit a little later.
        same += ours.transcribe(samples, RATE).text.strip().startswith(text.strip())
        meant, said = (_SCORING.normalized(each).split() for each in (clip.text or "", text))
        counts = error_counts(meant, said)
        errors.append((counts.errors, counts.reference_length))
    size = sum((folder / f"{stem}.onnx").stat().st_size for stem in STEMS) / 1e6
    return Row(name, size, np.array(errors, np.float64), same, taken)


def report(rows: Sequence[Row], arguments: str) -> str:
    """The section of RESULTS.md."""
    cells = []
    for row in rows:
        cells.append(
            [
                row.name,
                f"{row.megabytes:.1f}",
                rate_cell(*row.errors.T),
                f"{row.same} of {len(row.errors)}",
                f"{rows[0].seconds / row.seconds:.2f}×",
            ]
        )
    header = ["folder", "MB", "WER", "clips of the same text here", "speed"]
    return f"""## Moonshine base in four graphs

`python -m benchmarks.moonshine_layouts {arguments}`: the weights of Moonshine base in the four
graphs of sherpa-onnx's first layout, whose decoder's weights are in two of them; sherpa-onnx
{_version()} on {len(rows[0].errors)} clips of LibriSpeech dev, one thread, and whether quantkit's
own runner writes the same text of the same folder. `quantize_dynamic` as sherpa-onnx's script uses
it, on all graphs but the first; files of quantkit keep the convolutions in float32, and their other
products compute in int8 with a range of each clip. Speed is by processor time of sherpa-onnx for
all clips, one folder after the other. {host()}.

{table(header, cells)}
"""


def _version() -> str:
    return version("sherpa-onnx")


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--tested", default=40, show_default=True, help="Clips to count errors in.")
def main(model: Path, data: Path, tested: int) -> None:
    """Measure, and renew the section in RESULTS.md."""
    clips = open_corpus(data / "librispeech").select(split="dev").sample(tested)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        source = write_four(scratch / "float32", weights_in(model), Sizes(LAYERS, HEADS, PAIRS))
        shutil.copy(model / TOKENS_TXT, source)
        folders = {"float32": source, "quantize_dynamic": zoo(source, scratch / "zoo")}
        for codec in ("int8", "grouped:4", "rice:3"):
            settings = QuantizeSettings(
                compute="dynamic", codec=CodecChoice.parse(codec), exclude=("preprocess.*",)
            )
            place = scratch / codec.replace(":", "-")
            folders[f"quantkit, {codec}"] = quantkit.quantize(source, place, settings).path
        rows = [measure(folder, clips, name) for name, folder in folders.items()]
    section = report(rows, f"--tested {tested}")
    replace_section("moonshine-layouts", section)
    click.echo(section)


if __name__ == "__main__":
    main()

"""Moonshine base: word errors, size and speed of the published folder and of what is made of it.

Run it from the repository: ``python -m benchmarks.moonshine --model FOLDER --data FOLDER``. The one
holds ``encoder_model.onnx``, ``decoder_model_merged.onnx`` and a vocabulary, as
``onnx-community/moonshine-base-ONNX`` does; the other ``librispeech``. All forms are folders of the
same layout, and all are run by the same loop, which knows nothing of quantkit. It renews its
section of RESULTS.md.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnxruntime
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

import quantkit
from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.utterance import Corpus
from quantkit.disk.files import write_json
from quantkit.graph.artifact import open_model, save_model
from quantkit.graph.translating import set_kept
from quantkit.text.distances import levenshtein, ratio_interval
from quantkit.text.labels import Labels
from quantkit.text.scoring import WrittenTextScoring

_RATE, _START, _TOKENS_PER_SECOND = 16_000, 1, 6.5
_GRAPHS = ("encoder_model.onnx", "decoder_model_merged.onnx")
#: Clips of LibriSpeech's training speakers that are heard, without their texts.
HEARD = 16
BUDGETS = ("60MB", "45MB", "32MB", "25MB")


class Program:
    """Greedy search over the two files, as transformers.js does it."""

    def __init__(self, folder: Path, labels: Labels) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(str(folder / name), options) for name in _GRAPHS
        )
        self.labels = labels
        self.outputs = [value.name for value in self.decoder.get_outputs()]
        self.empty = {
            value.name: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32)
            for value in self.decoder.get_inputs()
            if value.name.startswith("past_key_values.")
        }

    def __call__(self, waveform: FloatArray) -> str:
        """The text of one clip."""
        (hidden,) = self.encoder.run(None, {"input_values": waveform[None]})
        past, token = dict(self.empty), _START
        text: list[int] = []
        for _ in range(round(_TOKENS_PER_SECOND * len(waveform) / _RATE)):
            feed = {
                "input_ids": np.array([[token]]),
                "encoder_hidden_states": hidden,
                "use_cache_branch": np.array([bool(text)]),
                **past,
            }
            made = dict(zip(self.outputs, self.decoder.run(None, feed), strict=True))
            for name in past:
                # Those of the encoder are computed once.
                if not text or ".decoder." in name:
                    past[name] = made[name.replace("past_key_values", "present")]
            token = int(made["logits"][0, -1].argmax())
            if token == self.labels.blank:
                break
            text.append(token)
        return self.labels.decode(text).strip()


@dataclass
class Form:
    """One folder, and what it did with each clip."""

    name: str
    folder: Path
    errors: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def megabytes(self) -> float:
        """Of both files."""
        return sum((self.folder / name).stat().st_size for name in _GRAPHS) / 1e6


def forms(model: Path, data: Path, scratch: Path, budgets: Sequence[str]) -> list[Form]:
    """All folders; those of an earlier run are used again."""
    heard = open_corpus(data / "librispeech").select(split="train").sample(HEARD, seed=0)
    plain = _made(scratch / "plain", partial(_with_plain_weights, scratch / "float32.onnx"))
    return [
        Form("float32", model),
        Form(
            "ONNX Runtime, dynamic int8", _made(scratch / "dynamic", partial(_dynamic_int8, plain))
        ),
        Form(
            "quantkit, int8",
            _made(scratch / "int8", lambda to: quantkit.quantize(model, to, "hybrid", heard)),
        ),
        *(
            Form(
                f"quantkit, {budget}",
                _made(scratch / budget, partial(_personalised, model, heard, budget)),
            )
            for budget in budgets
        ),
    ]


def _made(folder: Path, make: Callable[[Path], object]) -> Path:
    """``folder``, whole: what an interrupted run has begun lies beside it and is made anew."""
    if not folder.is_dir():
        begun = folder.with_name(f"{folder.name}.begun")
        shutil.rmtree(begun, ignore_errors=True)
        make(begun)
        begun.rename(folder)
    return folder


def _with_plain_weights(artifact: Path, folder: Path) -> None:
    """Without sums of weights, of which quantize_dynamic takes none."""
    folder.mkdir()
    whole = open_model(artifact)
    set_kept(whole, kept=True)
    save_model(whole, folder / _GRAPHS[0])


def _dynamic_int8(plain: Path, folder: Path) -> None:
    folder.mkdir()
    for name in _GRAPHS:
        quantize_dynamic(
            str(plain / name),
            str(folder / name),
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            extra_options={"EnableSubgraph": True, "DefaultTensorType": TensorProto.FLOAT},
        )


def _personalised(model: Path, heard: Corpus, budget: str, folder: Path) -> None:
    quantkit.personalize(model, folder, heard, budget)


@click.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=158, show_default=True, help="Of LibriSpeech's dev speakers.")
@click.option("--budget", "budgets", multiple=True, default=BUDGETS, show_default=True)
def main(model: Path, data: Path, clips: int, budgets: Sequence[str]) -> None:
    """Measure, and renew the section of RESULTS.md."""
    scratch = ROOT / "build" / "moonshine"
    scratch.mkdir(parents=True, exist_ok=True)
    artifact = scratch / "float32.onnx"
    if not artifact.exists():
        quantkit.export(model, artifact)
    labels = quantkit.load(artifact).info.labels
    assert labels is not None
    corpus = open_corpus(data / "librispeech").select(split="dev").sample(clips, seed=1)
    scoring = WrittenTextScoring()
    measured = forms(model, data, scratch, budgets)
    programs = [Program(form.folder, labels) for form in measured]
    rows = scratch / f"rows-{clips}.json"
    words = _resumed(rows, measured)
    for place, clip in enumerate(corpus):
        if place < len(words):
            continue
        waveform = load_waveform(clip, _RATE)
        wanted = scoring.normalized(str(clip.text)).split()
        # Each begins in turn, so that none is always the first to meet a clip.
        for index in np.roll(np.arange(len(measured)), place):
            begin = time.process_time()
            text = programs[index](waveform)
            measured[index].seconds.append(time.process_time() - begin)
            heard = scoring.heard(text).split()
            measured[index].errors.append(levenshtein(wanted, heard))
        words.append(len(wanted))
        kept = [
            {"name": form.name, "errors": form.errors, "seconds": form.seconds} for form in measured
        ]
        write_json(rows, {"words": words, "forms": kept})
        if place % 20 == 19:
            click.echo(f"{place + 1} clips")
    section = report(measured, words)
    replace_section("moonshine", section)
    click.echo(section)


def _resumed(rows: Path, measured: Sequence[Form]) -> list[int]:
    """Words of each clip that an earlier run of the same forms has measured; fills these."""
    if not rows.is_file():
        return []
    earlier = json.loads(rows.read_text())
    found = {form["name"]: form for form in earlier["forms"]}
    if [*found] != [form.name for form in measured]:
        return []
    for form in measured:
        form.errors += found[form.name]["errors"]
        form.seconds += found[form.name]["seconds"]
    words: list[int] = earlier["words"]
    return words


def report(measured: Sequence[Form], words: Sequence[int]) -> str:
    """The section of RESULTS.md."""
    base = measured[0]
    lines = []
    for form in measured:
        differences = [mine - its for mine, its in zip(form.errors, base.errors, strict=True)]
        low, high = ratio_interval(differences, words)
        least, most = ratio_interval(base.seconds, form.seconds)
        change = 100 * sum(differences) / sum(words)
        lines.append(
            [
                form.name,
                f"{form.megabytes:.1f}",
                f"{100 * sum(form.errors) / sum(words):.2f}",
                "" if form is base else f"{change:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]",
                "1"
                if form is base
                else f"{sum(base.seconds) / sum(form.seconds):.2f}× [{least:.2f}, {most:.2f}]",
            ]
        )
    header = ["form", "MB", "WER %", "change, points", "speed"]
    return f"""## Moonshine base: errors, size and speed

`python -m benchmarks.moonshine --model FOLDER --data FOLDER`: real weights (English, 61.5 M
parameters, on a grid of 8 bits as published), {len(words)} clips of LibriSpeech's dev speakers, one
thread, greedy. All forms are folders of the same two files, run by one loop as transformers.js has
it; every clip goes through all forms in turn. `change`: of the word error rate, clip by clip;
`speed`: seconds of the processor, front end and search included; both with 95 % intervals over
clips. quantkit heard {HEARD} clips of the training speakers, without texts.
{host()}.

{table(header, lines)}
"""


if __name__ == "__main__":
    main()

"""Convolutions decorrelated over their taps (``transform``) against ``rice``, in plans.

Run it from the repository after ``make export``: ``python -m benchmarks.tap_transforms --data
FOLDER``, with ``librispeech/`` in the folder. It renews its section of RESULTS.md.

The noise of a layer, its error's share of its output's power, is measured for both codecs at some
bits, on some of its channels, with rounding as for an estimate. By these and by the divergence that
each layer's noise makes, plans get the best bits of each layer, and its best codec. Then they are
carried out: their files are real ones.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from benchmarks.scoring import HeldOut, change
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.data import CalibrationData
from quantkit.codecs.base import Weight, stored_bytes
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.feedback import SecondMoments
from quantkit.graph.artifact import save_model
from quantkit.graph.tensors import tensor_array
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.encodings import MomentsChoice
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.session import create_session
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Stored weights of a plan, with their scales and tables and without the graph.
BUDGETS = (1_200_000, 1_500_000, 2_000_000)
CODECS = ("rice", "transform")
#: At which noise is measured; between them it is interpolated.
BITS = (1.25, 1.75, 2.5, 3.5)
_PER_BIT = 16
#: Output channels that noise is measured on, at most.
_SAMPLED = 96
_SENSITIVITY_BITS = 2.0
_OPENINGS = 5

#: Of one codec: bits, bytes per weight, noise, by rising bits.
Curve = Sequence[tuple[float, float, float]]


@dataclass(frozen=True)
class Layer:
    """A layer's weight and what it meets.

    Args:
        float_layer: of the prepared graph.
        values: (output channels, input channels, taps).
        moments: E[x xᵀ] of its inputs about their mean.
    """

    float_layer: FloatLayer
    values: FloatArray
    moments: FloatArray

    @cached_property
    def second_moments(self) -> SecondMoments:
        """Factorized once."""
        return SecondMoments(self.moments)

    def sampled(self) -> FloatArray:
        """Some of the output channels, evenly spread."""
        return self.values[:: max(1, -(-len(self.values) // _SAMPLED))]

    def decoded(self, values: FloatArray, codec: CodecChoice) -> FloatArray:
        """Some channels, rounded as for an estimate."""
        weight = Weight(values, 0, second_moments=self.second_moments, for_estimate=True)
        return codec.make().encode(weight).dequantized()

    def noise(self, values: FloatArray, decoded: FloatArray) -> float:
        """Power of the error of some channels' outputs over that of their outputs."""
        error, own = (each.reshape(len(values), -1) for each in (values - decoded, values))
        lost, whole = (float(np.einsum("oi,oi->", a @ self.moments, a)) for a in (error, own))
        return lost / whole

    def curves(self) -> dict[str, Curve]:
        """By codec; layers of one tap have one."""
        values, shape = self.sampled(), self.values.shape
        found: dict[str, Curve] = {}
        for name in CODECS if shape[2] > 1 else CODECS[:1]:
            points = []
            for bits in BITS:
                codec = CodecChoice(name, bits)
                size = (stored_bytes(codec.make(), shape, 0) + 4 * len(self.values)) / (
                    self.values.size
                )
                points.append((bits, size, self.noise(values, self.decoded(values, codec))))
            found[name] = points
        return found


@dataclass(frozen=True)
class Option:
    """One way to store a layer, with its bytes and its predicted divergence."""

    codec: str
    bits: float
    bytes: float
    divergence: float


def options_of(curves: Mapping[str, Curve], sensitivity: float, weights: int) -> list[Option]:
    """Between the measured bits, sizes are interpolated, and noises as logarithms.

    Args:
        curves: by codec.
        sensitivity: divergence per noise.
    """
    found = []
    for codec, points in curves.items():
        bits, sizes, noises = (np.array(each) for each in zip(*points, strict=True))
        steps = round((bits[-1] - bits[0]) * _PER_BIT)
        for own in np.linspace(bits[0], bits[-1], steps + 1):
            noise = float(np.exp(np.interp(own, bits, np.log(noises))))
            size = float(np.interp(own, bits, sizes)) * weights
            found.append(Option(codec, round(float(own), 2), size, sensitivity * noise))
    return found


def best_plan(options: Mapping[str, Sequence[Option]], budget: float) -> dict[str, Option]:
    """Least divergence within a budget, by a search for the price of a byte."""

    def at(price: float) -> dict[str, Option]:
        return {
            name: min(own, key=lambda o: o.divergence + price * o.bytes)
            for name, own in options.items()
        }

    low, high = 1e-15, 1e-2
    for _ in range(80):
        middle = float(np.sqrt(low * high))
        if sum(o.bytes for o in at(middle).values()) > budget:
            low = middle
        else:
            high = middle
    return at(high)


def total(plan: Mapping[str, Option]) -> float:
    """Predicted divergence."""
    return sum(option.divergence for option in plan.values())


def saved(options: Mapping[str, Sequence[Option]], budget: int) -> float:
    """Share of the bytes that plans of both codecs need less at equal predicted divergence."""
    aim = total(best_plan(of_rice(options), budget))
    low, high = 0.5 * budget, float(budget)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if total(best_plan(options, middle)) <= aim else (middle, high)
    return 1 - high / budget


def of_rice(options: Mapping[str, Sequence[Option]]) -> dict[str, list[Option]]:
    """Those that plans without the transform choose from."""
    return {name: [o for o in own if o.codec == "rice"] for name, own in options.items()}


@dataclass
class Study:
    """The model and its layers.

    Args:
        model: the prepared graph, that weights are put into.
    """

    prepared: PreparedModel
    calibration: CalibrationData
    model: onnx.ModelProto
    layers: dict[str, Layer]
    folder: Path

    @classmethod
    def of(cls, calibration: CalibrationData, prepared: PreparedModel, folder: Path) -> Study:
        """Observe the layers' inputs."""
        settings = QuantizeSettings(compute="static", codec=CodecChoice("rice", 2.0))
        fitting = PersonalizeSettings().fitting
        assigned, seen = choices_and_observations(
            prepared, folder / "x.onnx", settings, fitting, calibration, False, None
        )
        candidates = CandidateWeights(assigned.model, assigned.layers, seen, assigned.fitting)
        layers = {}
        for each in assigned.layers:
            found = candidates.layer(each.name)
            made = MomentsChoice(seen.matrices[each.name], True).make()
            assert found is not None
            assert made is not None
            (matrix,) = made.matrices
            values = found.values.reshape(*found.values.shape[:2], -1)
            layers[each.name] = Layer(found, values, matrix.astype(np.float32))
        return cls(prepared, calibration, assigned.model, layers, folder)

    def sensitivity(self, name: str, clips: HeldOut) -> float:
        """Divergence per noise, of all the layer's channels."""
        layer = self.layers[name]
        decoded = layer.decoded(layer.values, CodecChoice("rice", _SENSITIVITY_BITS))
        noise = layer.noise(layer.values, decoded)
        return max(clips.score(self._with(name, decoded)).divergence, 1e-9) / noise

    def _with(self, name: str, values: FloatArray) -> Path:
        """The float graph with another weight, whose mean errors the bias takes up."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        own = self.layers[name].float_layer
        decoded = values.reshape(own.values.shape)
        tensors[own.weight].CopyFrom(numpy_helper.from_array(decoded, own.weight))
        shift = own.shift(decoded)
        if shift is not None:
            bias = own.node.input[2]
            before = tensor_array(tensors[bias])
            after = (before - shift.reshape(before.shape)).astype(np.float32)
            tensors[bias].CopyFrom(numpy_helper.from_array(after, bias))
        path = self.folder / "probe.onnx"
        save_model(model, path)
        return path

    def carried_out(self, plan: Mapping[str, Option], name: str) -> Path:
        """The file of a plan, all layers static."""
        rules = tuple(
            LayerRule(layer, codec=CodecChoice(option.codec, option.bits))
            for layer, option in plan.items()
        )
        settings = QuantizeSettings(compute="static", codec=CodecChoice("rice", 2.0), rules=rules)
        path = self.folder / f"{name}.onnx"
        fitting = PersonalizeSettings().fitting
        quantize_model(self.prepared, path, settings, self.calibration, fitting=fitting)
        return path


@dataclass(frozen=True)
class Made:
    """A plan that was carried out.

    Args:
        bytes: of its file.
        seconds: that opening it takes, the median of some times.
        layers: codec's first letter and bits of each.
    """

    budget: int
    codecs: str
    bytes: int
    predicted: float
    divergence: float
    change: str
    seconds: float
    layers: str


def measured(
    study: Study, plan: Mapping[str, Option], budget: int, codecs: str, clips: HeldOut
) -> Made:
    """Make the file of a plan, open it and score it."""
    path = study.carried_out(plan, f"{codecs}-{budget}")
    seconds = []
    for _ in range(_OPENINGS):
        begin = time.process_time()
        create_session(path)
        seconds.append(time.process_time() - begin)
    score = clips.score(path)
    changed = change(score.edits, clips.float_score.edits, 0)
    low, high = changed.interval
    said = f"{changed.mean:+.1%} [{low:+.1%}, {high:+.1%}]"
    layers = " ".join(f"{o.codec[0]}{o.bits:.2f}" for o in plan.values())
    size, opened = path.stat().st_size, float(np.median(seconds))
    return Made(budget, codecs, size, total(plan), score.divergence, said, opened, layers)


def report(
    made: Sequence[Made],
    gains: Sequence[tuple[int, float]],
    curves: Sequence[Sequence[str]],
    about: str,
) -> str:
    """The section."""
    rows = [
        [
            f"{each.budget / 1e6:.1f}",
            each.codecs,
            f"{each.bytes / 1e6:.3f}",
            f"{each.predicted:.5f}",
            f"{each.divergence:.5f}",
            each.change,
            f"{each.seconds:.2f}",
            each.layers,
        ]
        for each in made
    ]
    header = ["MB of weights", "codecs", "MB of the file", "divergence, predicted", "measured"]
    header += ["change of edits [95 %]", "s to open", "layers 1 to 11"]
    said = ", ".join(f"{share:.1%} at {budget / 1e6:.1f} MB" for budget, share in gains)
    section = f"""## Convolutions decorrelated over taps

{about} Plans hold the best bits of each layer and, of both codecs, its best one (`r` is `rice`, `t`
is `transform`). By their predictions, plans of both need so much less for stored weights than plans
of `rice` alone: {said}.
"""
    if rows:
        section += f"""
{table(header, rows)}
"""
    return f"""{section}
Noise of single layers, in decibels below their output, on at most {_SAMPLED} of their channels:

{table(["layer", "bits", "`rice`", "`transform`", "more bytes"], [list(row) for row in curves])}
"""


def curve_rows(name: str, curves: Mapping[str, Curve]) -> list[list[str]]:
    """Of a layer that has taps."""
    rows = []
    for one, other in zip(curves["rice"], curves.get("transform", ()), strict=False):
        decibels = [f"{-10 * np.log10(each[2]):.1f}" for each in (one, other)]
        rows.append([name, f"{one[0]:g}", *decibels, f"{other[1] / one[1] - 1:+.1%}"])
    return rows


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=32, show_default=True, help="To calibrate on.")
@click.option("--probe-clips", default=12, show_default=True, help="For sensitivities.")
@click.option("--test-clips", default=158, show_default=True)
@click.option("--budget", "budgets", type=int, multiple=True, help="Of files to make.")
@click.option("--predict-only", is_flag=True, help="Make no files.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="File of noises, from which a run goes on."
)
@click.option("--print-only", is_flag=True, help="Leave RESULTS.md as it is.")
def main(
    data: Path,
    clips: int,
    probe_clips: int,
    test_clips: int,
    budgets: tuple[int, ...],
    predict_only: bool,
    work: Path | None,
    print_only: bool,
) -> None:
    """Measure, plan, carry out, and renew the section."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = open_corpus(data / "librispeech")
    train = corpus.select(split="train")
    prepared = PreparedModel(SOURCE)
    made: list[Made] = []
    with tempfile.TemporaryDirectory() as temporary:
        calibration = CalibrationData(train.sample(clips), prepared.info, SOURCE)
        study = Study.of(calibration, prepared, Path(temporary))
        probes = HeldOut(SOURCE, train.sample(probe_clips, 1))
        noises = json.loads(work.read_text()) if work and work.exists() else {}
        options, rows = {}, []
        for name, layer in study.layers.items():
            if name not in noises:
                noises[name] = study.sensitivity(name, probes), layer.curves()
                click.echo(f"{name}: {noises[name]}", err=True)
            if work:
                work.write_text(json.dumps(noises))
            sensitivity, curves = noises[name]
            options[name] = options_of(curves, sensitivity, layer.values.size)
            rows += curve_rows(name, curves)
        gains = [(budget, saved(options, budget)) for budget in BUDGETS]
        click.echo(str(gains), err=True)
        if not predict_only:
            dev = HeldOut(SOURCE, corpus.select(split="dev").sample(test_clips))
            for budget in budgets or BUDGETS:
                for codecs, own in (("rice", of_rice(options)), ("both", options)):
                    made.append(measured(study, best_plan(own, budget), budget, codecs, dev))
                    click.echo(str(made[-1]), err=True)
    tested = f", files on {test_clips} clips of its dev speakers, greedy decoder" if made else ""
    about = (
        "`python -m benchmarks.tap_transforms --data FOLDER`: the shipped model; moments from "
        f"{clips} clips of LibriSpeech's training speakers, sensitivities from {probe_clips}"
        f"{tested}. {host()}."
    )
    section = report(made, gains, rows, about)
    click.echo(section)
    if not print_only:
        replace_section("tap-transforms", section)


if __name__ == "__main__":
    main()

"""Convolutions decorrelated over their taps, against ``rice``, in whole plans of equal bytes.

Run it from the repository after ``make export``: ``python -m benchmarks.tap_transforms --data
FOLDER``, with ``librispeech/`` in the folder. It renews its section of RESULTS.md.

Young, Wang, Taubman and Girod, "Transform Quantization for CNN Compression", 2021: the filter of
each pair of channels is W = B C, where the columns of B are the Karhunen-Loève basis of a layer's
taps, in int8 so that a decoder's sums are exact. All coefficients C have one step, so that each
gets the bits that its variance deserves. Rounding is priced and compensates errors, as for
``rice``: with e the error of C and H the second moments of the inputs, the output's error is
eᵀ Bᵀ H B e.

The codes are real ones. Each coefficient of all filters is one plane, stored by the shortest of
these with a parameter of its own: Rice codes of pairs, Rice codes of single numbers, or those of
the gaps between numbers other than 0, and for each of these a sign and a unary magnitude. Nothing
is decoded in ONNX Runtime. Plans hold the best bits of each layer by its sensitivity and its noise
at some bits; activations are float32, so that only weights differ.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
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
from quantkit.codecs.base import Levels, Weight, stored_bytes
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.compensated import Compensation, Laid
from quantkit.codecs.feedback import SecondMoments
from quantkit.codecs.priced_rounding import PricedGrid
from quantkit.codecs.rice import PairTable, Rice
from quantkit.graph.artifact import save_model
from quantkit.graph.tensors import tensor_array
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.encodings import MomentsChoice
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from quantkit.sensitivity.candidate_weights import CandidateWeights, FloatLayer

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
#: Stored weights of a plan, with their scales and tables and without the graph.
BUDGETS = (1_200_000, 1_500_000, 2_000_000)
#: At which noise is measured; between them it is interpolated.
BITS = (1.25, 1.75, 2.5, 3.5)
_PER_BIT = 16
#: Output channels that noise is measured on, at most.
_SAMPLED = 96
_SENSITIVITY_BITS = 2.0
#: Of levels; pairs of those within the inner ring of ``rice`` have ranks.
_RINGS = ((126, 1), (127, 1))
_RANKED = 22
_PRICE = 0.05
_LEARNING_ROUNDS, _ESTIMATE_ROUNDS, _ROUNDS = 2, 3, 6
_UNUSED = 0.004
_PARAMETER_BITS = 16
_NO_PAIRS = PairTable(np.zeros((0, 2), np.int8))


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

    @property
    def taps(self) -> int:
        return int(self.values.shape[2])

    @cached_property
    def second_moments(self) -> SecondMoments:
        """Factorized once."""
        return SecondMoments(self.moments)

    @cached_property
    def basis(self) -> FloatArray:
        """(taps, coefficients)."""
        return basis_of(self.values)

    @cached_property
    def coefficient_moments(self) -> SecondMoments:
        """Those that the coefficients' errors meet."""
        channels, taps = self.values.shape[1:]
        turned = self.moments.reshape(channels, taps, channels, taps) @ self.basis
        turned = np.einsum("ctdk,tj->cjdk", turned, self.basis, optimize=True)
        return SecondMoments(turned.reshape(channels * taps, channels * taps))

    def sampled(self) -> FloatArray:
        """Some of the output channels, evenly spread."""
        return self.values[:: max(1, -(-len(self.values) // _SAMPLED))]

    def noise(self, values: FloatArray, decoded: FloatArray) -> float:
        """Power of the error of some channels' outputs over that of their outputs."""
        error, own = ((a).reshape(len(values), -1) for a in (values - decoded, values))
        lost, whole = (float(np.einsum("oi,oi->", a @ self.moments, a)) for a in (error, own))
        return lost / whole


@dataclass(frozen=True)
class Stored:
    """A weight as it is decoded, and what it takes."""

    decoded: FloatArray
    bytes: int


@dataclass
class PlaneGrid(PricedGrid):
    """Whole numbers whose prices differ by coefficient.

    Args:
        planes: (coefficients, magnitudes), bits.
    """

    planes: FloatArray

    def nearest(self, channels: slice, column: int, ratios: FloatArray) -> FloatArray:
        self.lengths = self.planes[column % len(self.planes)]
        return super().nearest(channels, column, ratios)

    def prefers(self, channels: slice, column: int, *rest: np.ndarray) -> np.ndarray:
        self.lengths = self.planes[column % len(self.planes)]
        return super().prefers(channels, column, *rest)


def basis_of(values: FloatArray) -> FloatArray:
    """(taps, coefficients): the Karhunen-Loève basis of a weight's taps in steps of 1/127."""
    rows = np.moveaxis(values, 2, 0).reshape(values.shape[2], -1).astype(np.float64)
    _, basis = np.linalg.eigh(rows @ rows.T)
    found: FloatArray = (np.rint(127 * basis) / 127).astype(np.float32)
    return found


def plane_bits(plane: Levels) -> int:
    """Bits of the shortest of the codes for whole numbers, its parameter included."""
    flat = plane.reshape(-1).astype(np.int64)
    places = np.flatnonzero(flat)
    gaps = np.diff(places, prepend=-1) - 1
    found = [
        int(np.abs(flat).sum()) + len(places) + _rice_bits(gaps),
        _rice_bits(2 * np.abs(flat) - (flat < 0)),
    ]
    if np.abs(flat).max(initial=0) <= _RANKED:
        even = np.append(flat, 0) if flat.size % 2 else flat
        found.append(_rice_bits(_NO_PAIRS.ranks(even.reshape(-1, 2).astype(np.int8))))
    return min(found) + _PARAMETER_BITS


def _rice_bits(numbers: np.ndarray) -> int:
    found = [int((numbers >> k).sum()) + (1 + k) * int(numbers.size) for k in range(9)]
    return min(found)


def all_bits(levels: Levels, taps: int) -> int:
    """Of (channels, inputs), plane by plane."""
    planes = levels.reshape(len(levels), -1, taps)
    return sum(8 * math.ceil(plane_bits(planes[..., k]) / 8) for k in range(taps))


def by_taps(layer: Layer, values: FloatArray, bits: float, *, estimate: bool) -> Stored:
    """Decorrelated over taps, in ``bits`` per weight, tables and scales not counted."""
    basis, taps = layer.basis, layer.taps
    inverse = np.linalg.inv(basis.astype(np.float64)).astype(np.float32)
    coefficients = (values @ inverse.T).reshape(len(values), -1)
    channels = values.shape[1]
    compensation = Compensation.of(layer.coefficient_moments, len(values), 1)
    assert compensation is not None
    levels, scale = _rounded(coefficients, compensation, taps, bits, estimate=estimate)
    decoded = (levels * scale[:, None]).reshape(len(values), channels, taps) @ basis.T
    taken = all_bits(levels.astype(np.int64), taps) // 8 + 4 * len(values) + basis.size
    return Stored(decoded.astype(np.float32), taken)


def _rounded(
    values: FloatArray, compensation: Compensation, taps: int, bits: float, *, estimate: bool
) -> tuple[FloatArray, FloatArray]:
    """Levels and scales whose codes fill what they may take."""
    most = bits * values.size
    reach = _RINGS[-1][0]
    spread = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    # Half the step takes one bit more; at 2 bits it is about one and a half of the spread.
    step = spread * 2.0 ** (1.6 - bits)
    geometric = [feedback.geometric_mass() for _, feedback in compensation.groups]
    mass = float(np.exp(np.mean(np.log(geometric))))
    masses: dict[int, FloatArray] = {}
    widest = np.abs(values).max(axis=1) / reach
    planes = _lengths(np.rint(values / step).clip(-reach, reach), taps, reach)
    best: Laid[PlaneGrid] | None = None
    tried: dict[bool, tuple[float, int]] = {}
    for number in range(_ESTIMATE_ROUNDS if estimate else _ROUNDS):
        scale = np.maximum(widest, step).astype(np.float32)
        price = _PRICE * step * step * mass
        grid = PlaneGrid(scale, _RINGS, planes[0], price, masses, planes)
        laid = Laid(grid, np.zeros(values.shape, np.int16))
        compensation.round(values, laid)
        used = all_bits(laid.levels.astype(np.int64), taps)
        fits = used <= most
        tried[fits] = float(np.log2(step)), used
        if fits and (best is None or step <= best.grid.scale.min()):
            best = laid
        if fits and used >= (1 - _UNUSED) * most:
            break
        aim = (1 - _UNUSED / 3) * most
        logarithm = np.log2(step) + (used - aim) / values.size
        if len(tried) == 2 and tried[False][1] > tried[True][1]:
            (fine, more), (coarse, fewer) = tried[False], tried[True]
            logarithm = fine + (more - aim) / (more - fewer) * (coarse - fine)
        # Where the largest level bounds the steps of all channels, finer ones change nothing.
        step = max(float(2.0**logarithm), spread / 1024)
        if number < _LEARNING_ROUNDS:
            planes = _lengths(laid.levels, taps, reach)
            tried.clear()
    if best is None:
        best = laid
    if not estimate:
        before = best.copy()
        compensation.improve(values, best)
        if all_bits(best.levels.astype(np.int64), taps) > max(most, used):
            best = before
    scale = best.grid.scale * compensation.best_factors(values, best).astype(np.float32)
    return best.levels.astype(np.float32), scale


def _lengths(levels: np.ndarray, taps: int, reach: int) -> FloatArray:
    """−log₂ of how often each magnitude occurs in each plane: (taps, reach + 1)."""
    planes = np.abs(levels.reshape(len(levels), -1, taps)).astype(np.int64)
    found = []
    for k in range(taps):
        counts = np.bincount(planes[..., k].reshape(-1), minlength=reach + 1)
        shares = np.maximum(counts, 0.5) / planes[..., k].size
        shares[1:] /= 2
        found.append(np.maximum.accumulate(-np.log2(shares)))
    return np.array(found, np.float32)


def by_rice(layer: Layer, values: FloatArray, bits: float, *, estimate: bool) -> Stored:
    """As the package stores it."""
    weight = Weight(values, 0, second_moments=layer.second_moments, for_estimate=estimate)
    codec = Rice(bits)
    taken = stored_bytes(codec, values.shape, 0) + 4 * len(values)
    return Stored(codec.encode(weight).dequantized(), taken)


WAYS: Mapping[str, Callable[..., Stored]] = {"rice": by_rice, "taps": by_taps}


@dataclass(frozen=True)
class Option:
    """One way to store a layer, with its bytes and its predicted divergence."""

    way: str
    bits: float
    bytes: float
    divergence: float


def options_of(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], sensitivity: float, weights: int
) -> list[Option]:
    """Between the measured bits, sizes are interpolated, and noises as logarithms.

    Args:
        curves: by way, (bits, bytes per weight, noise), by rising bits.
        sensitivity: divergence per noise.
    """
    found = []
    for way, points in curves.items():
        bits, sizes, noises = (np.array(each) for each in zip(*points, strict=True))
        steps = round((bits[-1] - bits[0]) * _PER_BIT)
        for own in np.linspace(bits[0], bits[-1], steps + 1):
            noise = float(np.exp(np.interp(own, bits, np.log(noises))))
            size = float(np.interp(own, bits, sizes)) * weights
            found.append(Option(way, float(own), size, sensitivity * noise))
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
    """Share of the bytes that plans with transforms need less at equal predicted divergence."""
    rice_only = _without_taps(options)
    aim = total(best_plan(rice_only, budget))
    low, high = 0.5 * budget, float(budget)
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if total(best_plan(options, middle)) <= aim else (middle, high)
    return 1 - high / budget


def _without_taps(options: Mapping[str, Sequence[Option]]) -> dict[str, list[Option]]:
    return {name: [o for o in own if o.way == "rice"] for name, own in options.items()}


@dataclass
class Study:
    """The model, its layers, and the graph that weights are put into."""

    model: onnx.ModelProto
    layers: dict[str, Layer]
    folder: Path

    @classmethod
    def of(cls, calibration: CalibrationData, prepared: PreparedModel, folder: Path) -> Study:
        """Observe the layers' inputs."""
        settings = QuantizeSettings(compute="static", codec=CodecChoice.parse("rice:2"))
        fitting = PersonalizeSettings().fitting
        assigned, seen = choices_and_observations(
            prepared, folder / "x.onnx", settings, fitting, calibration, False, None
        )
        candidates = CandidateWeights(assigned.model, assigned.layers, seen, assigned.fitting)
        layers = {}
        for each in assigned.layers:
            found = candidates.layer(each.name)
            if found is None or each.name not in seen.matrices:
                continue
            made = MomentsChoice(seen.matrices[each.name], True).make()
            assert made is not None
            (matrix,) = made.matrices
            values = found.values.reshape(*found.values.shape[:2], -1)
            layers[each.name] = Layer(found, values, matrix.astype(np.float32))
        return cls(assigned.model, layers, folder)

    def written(self, weights: Mapping[str, FloatArray], name: str) -> Path:
        """The float graph with other weights, whose mean errors the biases take up."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        for layer, values in weights.items():
            own = self.layers[layer].float_layer
            decoded = values.reshape(own.values.shape)
            shift = own.shift(decoded)
            tensors[own.weight].CopyFrom(numpy_helper.from_array(decoded, own.weight))
            if shift is not None:
                bias = own.node.input[2]
                before = tensor_array(tensors[bias])
                after = (before - shift.reshape(before.shape)).astype(np.float32)
                tensors[bias].CopyFrom(numpy_helper.from_array(after, bias))
        path = self.folder / f"{name}.onnx"
        save_model(model, path)
        return path

    def curves(self, name: str) -> dict[str, list[tuple[float, float, float]]]:
        """Of each way: bits, bytes per weight, noise, on some channels."""
        layer, found = self.layers[name], {}
        values = layer.sampled()
        for way, store in WAYS.items():
            if way == "taps" and layer.taps == 1:
                continue
            points = []
            for bits in BITS:
                stored = store(layer, values, bits, estimate=True)
                size = _full_size(layer, values, stored, way, bits)
                points.append((bits, size, layer.noise(values, stored.decoded)))
            found[way] = points
        return found

    def sensitivity(self, name: str, clips: HeldOut) -> float:
        """Divergence per noise."""
        layer = self.layers[name]
        stored = by_rice(layer, layer.values, _SENSITIVITY_BITS, estimate=True)
        path = self.written({name: stored.decoded}, "probe")
        noise = layer.noise(layer.values, stored.decoded)
        return max(clips.score(path).divergence, 1e-9) / noise


def _full_size(layer: Layer, values: FloatArray, stored: Stored, way: str, bits: float) -> float:
    """Bytes per weight of the whole layer, whose tables are shared by all channels."""
    whole = layer.values.size
    if way == "rice":
        return (stored_bytes(Rice(bits), layer.values.shape, 0) + 4 * len(layer.values)) / whole
    tables = layer.taps**2
    return (stored.bytes - tables) / values.size + tables / whole


@dataclass(frozen=True)
class Made:
    """A plan that was carried out."""

    budget: int
    ways: str
    bytes: int
    predicted: float
    divergence: float
    change: str
    layers: str


def carried_out(
    study: Study,
    plan: Mapping[str, Option],
    budget: int,
    ways: str,
    clips: HeldOut,
    *,
    quick: bool,
) -> Made:
    """Encode all layers, and score."""
    decoded, taken = {}, 0
    for name, option in plan.items():
        layer = study.layers[name]
        stored = WAYS[option.way](layer, layer.values, option.bits, estimate=quick)
        decoded[name], taken = stored.decoded, taken + stored.bytes
    score = clips.score(study.written(decoded, f"{ways}-{budget}"))
    changed = change(score.edits, clips.float_score.edits, 0)
    low, high = changed.interval
    said = f"{changed.mean:+.1%} [{low:+.1%}, {high:+.1%}]"
    layers = " ".join(f"{o.way[0]}{o.bits:.2f}" for o in plan.values())
    return Made(budget, ways, taken, total(plan), score.divergence, said, layers)


def report(
    made: Sequence[Made], gains: Sequence[tuple[int, float]], curves: list[list[str]], about: str
) -> str:
    """The section."""
    rows = [
        [
            f"{each.budget / 1e6:.1f}",
            each.ways,
            f"{each.bytes / 1e6:.3f}",
            f"{each.predicted:.5f}",
            f"{each.divergence:.5f}",
            each.change,
            each.layers,
        ]
        for each in made
    ]
    header = ["budget, MB", "ways", "MB of weights", "divergence, predicted", "measured"]
    header += ["change of edits [95 %]", "layers 1 to 11"]
    said = ", ".join(f"{share:.1%} at {budget / 1e6:.1f} MB" for budget, share in gains)
    carried = (
        f"""
{table(header, rows)}
"""
        if rows
        else ""
    )
    noises = ["layer", "bits", "`rice`", "transform", "bits per weight of `rice`", "of it"]
    return f"""## Convolutions decorrelated over taps

{about} MB are those of stored weights, scales and tables, without the graph; activations are
float32. Plans hold the best bits of each layer and, where both ways may be used, its best way: `r`
is `rice`, `t` the transform, both with rounding that compensates errors and knows the price of each
level. By their predictions, plans with the transform need so many bytes less than plans of `rice`
alone: {said}. The transform's result is float here; an int8 kernel needs it on its own grid.
{carried}
Noise of single layers in decibels below their output, on at most {_SAMPLED} of their channels, and
what the codes take:

{table(noises, curves)}
"""


def about_study(clips: int, probe_clips: int, test_clips: int, *, quick: bool) -> str:
    """What was measured on how many clips."""
    said = (
        "`python -m benchmarks.tap_transforms --data FOLDER`: prototypes; the shipped model, "
        f"moments from {clips} clips of LibriSpeech's training speakers, sensitivities from "
        f"{probe_clips}"
    )
    if test_clips:
        said += (
            f"; plans on {test_clips} clips of its dev speakers, greedy decoder, layers rounded "
            f"{'as for an estimate' if quick else 'in full'}"
        )
    else:
        said += " (`--predict-only`: no plan was carried out)"
    return f"{said}. {host()}."


def curve_rows(
    name: str, curves: Mapping[str, Sequence[tuple[float, float, float]]]
) -> list[list[str]]:
    """Of a layer that has taps."""
    rows = []
    for one, other in zip(curves["rice"], curves.get("taps", ()), strict=False):
        decibels = [f"{-10 * np.log10(each[2]):.1f}" for each in (one, other)]
        sizes = [f"{8 * each[1]:.2f}" for each in (one, other)]
        rows.append([name, f"{one[0]:g}", *decibels, *sizes])
    return rows


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--clips", default=32, show_default=True, help="To calibrate on.")
@click.option("--probe-clips", default=12, show_default=True, help="For sensitivities.")
@click.option("--test-clips", default=158, show_default=True)
@click.option("--predict-only", is_flag=True, help="Carry out no plans.")
@click.option("--quick", is_flag=True, help="Round the layers of plans as for an estimate.")
@click.option(
    "--work", type=click.Path(path_type=Path), help="File of noises, from which a run goes on."
)
@click.option("--print-only", is_flag=True, help="Leave RESULTS.md as it is.")
def main(
    data: Path,
    clips: int,
    probe_clips: int,
    test_clips: int,
    predict_only: bool,
    quick: bool,
    work: Path | None,
    print_only: bool,
) -> None:
    """Measure, plan, carry out, and renew the section."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = open_corpus(data / "librispeech")
    train = corpus.select(split="train")
    prepared = PreparedModel(SOURCE)
    with tempfile.TemporaryDirectory() as temporary:
        calibration = CalibrationData(train.sample(clips), prepared.info, SOURCE)
        study = Study.of(calibration, prepared, Path(temporary))
        probes = HeldOut(SOURCE, train.sample(probe_clips, 1))
        noises = json.loads(work.read_text()) if work and work.exists() else {}
        options, rows = {}, []
        for name, layer in study.layers.items():
            if name not in noises:
                noises[name] = study.sensitivity(name, probes), study.curves(name)
                click.echo(f"{name}: {noises[name]}", err=True)
            if work:
                work.write_text(json.dumps(noises))
            sensitivity, curves = noises[name]
            options[name] = options_of(curves, sensitivity, layer.values.size)
            rows += curve_rows(name, curves)
        gains = [(budget, saved(options, budget)) for budget in BUDGETS]
        click.echo(str(gains), err=True)
        made: list[Made] = []
        if not predict_only:
            dev = HeldOut(SOURCE, corpus.select(split="dev").sample(test_clips))
            for budget in BUDGETS:
                for ways, own in (("rice", _without_taps(options)), ("both", options)):
                    plan = best_plan(own, budget)
                    made.append(carried_out(study, plan, budget, ways, dev, quick=quick))
                    click.echo(str(made[-1]), err=True)
    about = about_study(clips, probe_clips, test_clips if made else 0, quick=quick)
    section = report(made, gains, rows, about)
    click.echo(section)
    if not print_only:
        replace_section("tap-transforms", section)


if __name__ == "__main__":
    main()

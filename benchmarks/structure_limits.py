"""Where a lower rank would save nothing: the input weights of an LSTM, and grouped convolutions.

Run it from the repository: ``python -m benchmarks.structure_limits --data FOLDER --model TDT``.
``FOLDER`` has the spoken digits (`digits/`), ``TDT`` is a transducer of English digits in
onnx-asr's layout. It takes a few minutes and renews its section of RESULTS.md.

An LSTM of W x_t + R h_{t-1} becomes a product A x_t and an LSTM with U A in the place of W. A
grouped convolution becomes one with fewer channels in each group and one tap behind it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from benchmarks.transducer import sequences
from quantkit.api.inputs import float_model
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.calibration.calibrate import Watched, calibrate
from quantkit.codecs.base import stored_bytes
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import save_model
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session
from quantkit.sensitivity.model_divergence import model_divergence
from quantkit.structure.low_rank import Spectrum, low_rank
from quantkit.structure.output_moments import ChannelMoments

#: Shares of the full rank.
SHARES = (0.75, 0.5, 0.375)
#: The same for the predictor, which needs hardly any of its inputs.
SHARES_OF_PREDICTOR = (0.5, 0.25, 0.0625)
#: That the whole weight is stored by instead.
CODECS = ("grouped:3", "grouped:2", "grouped:1")
_HEARD, _TESTED = 24, 24


@dataclass(frozen=True)
class Recurrent:
    """An LSTM with as many inputs as hidden units."""

    hidden: int
    steps: int


@dataclass(frozen=True)
class Grouped:
    """A convolution over time that keeps its number of channels."""

    channels: int
    groups: int
    taps: int
    frames: int


#: Of the digits' predictor, and of published transducers, which run one step at a time; and of an
#: encoder.
RECURRENT = (Recurrent(128, 1), Recurrent(320, 1), Recurrent(640, 1), Recurrent(640, 100))
#: The positional convolution of Wav2Vec2-Base on five seconds.
GROUPED = (Grouped(768, 16, 128, 249),)


def lstm(case: Recurrent, rank: int) -> onnx.ModelProto:
    """The layer alone, whole for a ``rank`` of 0."""
    random = np.random.default_rng(0)
    hidden, inputs = case.hidden, rank or case.hidden
    bound = 1 / np.sqrt(hidden)

    def uniform(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(
            random.uniform(-bound, bound, shape).astype(np.float32), name
        )

    constants = [
        uniform("w", 1, 4 * hidden, inputs),
        uniform("r", 1, 4 * hidden, hidden),
        uniform("b", 1, 8 * hidden),
    ]
    nodes = [
        helper.make_node(
            "LSTM",
            ["fewer" if rank else "x", "w", "r", "b", "", "h", "c"],
            ["y", "h.after", "c.after"],
            "rnn",
            hidden_size=hidden,
        )
    ]
    if rank:
        nodes.insert(0, helper.make_node("MatMul", ["x", "a"], ["fewer"], "first"))
        constants.append(uniform("a", hidden, rank))
    states = [helper.make_tensor_value_info(s, TensorProto.FLOAT, [1, 1, hidden]) for s in "hc"]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", 1, hidden])
    results = ("y", "h.after", "c.after")
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    return _model(nodes, [x, *states], outputs, constants)


def convolution(case: Grouped, rank: int) -> onnx.ModelProto:
    """The layer alone, with ``rank`` channels in each group between its parts; 0: whole."""
    random = np.random.default_rng(0)
    own = case.channels // case.groups
    made = rank * case.groups or case.channels
    first = random.standard_normal((made, own, case.taps)) / np.sqrt(own * case.taps)
    constants = [numpy_helper.from_array(first.astype(np.float32), "w")]
    padding = [case.taps // 2, case.taps - 1 - case.taps // 2]
    nodes = [
        helper.make_node(
            "Conv", ["x", "w"], ["v" if rank else "y"], "first", group=case.groups, pads=padding
        )
    ]
    if rank:
        last = random.standard_normal((case.channels, rank, 1)) / np.sqrt(rank)
        constants.append(numpy_helper.from_array(last.astype(np.float32), "u"))
        nodes.append(helper.make_node("Conv", ["v", "u"], ["y"], "last", group=case.groups))
    shape: list[str | int | None] = ["batch", case.channels, "frames"]
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "layer", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def measured(
    models: list[onnx.ModelProto], feed: dict[str, FloatArray], compute: QuantizeSettings
) -> list[list[tuple[float, int]]]:
    """Median milliseconds on one thread and bytes of each, in float32 and quantized, in turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for number, model in enumerate(models):
            source = folder / f"{number}.onnx"
            onnx.save(model, source)
            clips = [("clip", dict(feed))]
            int8 = quantize_model(source, folder / f"{number}-int8.onnx", compute, clips).path
            paths += [source, int8]
        runs: list[Callable[[], object]] = [
            partial(create_session(path, threads=1).run, None, feed) for path in paths
        ]
        effort = Effort(rounds=400, min_rounds=20, seconds=4.0)
        seconds = interleaved_seconds(runs, threads=1, effort=effort, clock=time.thread_time)
        medians = [1_000 * float(each) for each in np.median(seconds, axis=0)]
        found = [(ms, path.stat().st_size) for ms, path in zip(medians, paths, strict=True)]
    return [found[i : i + 2] for i in range(0, len(found), 2)]


def _ranks(full: int) -> list[int]:
    return [0, *(8 * round(share * full / 8) for share in SHARES)]


def _rows(name: str, full: int, found: list[list[tuple[float, int]]]) -> list[list[str]]:
    rows = []
    for rank, both in zip(_ranks(full), found, strict=True):
        row = [name, f"{rank} of {full}" if rank else "whole"]
        for (ms, size), (usual, whole) in zip(both, found[0], strict=True):
            row += [f"{ms:.3f}", f"{usual / ms:.2f}×", f"{size / whole:.2f}"]
        rows.append(row)
    return rows


def times_table() -> str:
    """Each case at each rank."""
    rows = []
    for case in RECURRENT:
        models = [lstm(case, rank) for rank in _ranks(case.hidden)]
        random = np.random.default_rng(1)
        shapes = {"x": (case.steps, 1, case.hidden)}
        shapes |= dict.fromkeys("hc", (1, 1, case.hidden))
        feed = {k: random.standard_normal(shape).astype(np.float32) for k, shape in shapes.items()}
        found = measured(models, feed, QuantizeSettings(compute="dynamic"))
        rows += _rows(f"LSTM of {case.hidden}, {case.steps} steps", case.hidden, found)
    for each in GROUPED:
        full = each.channels // each.groups
        models = [convolution(each, rank) for rank in _ranks(full)]
        x = np.random.default_rng(1).standard_normal((1, each.channels, each.frames))
        feed = {"x": x.astype(np.float32)}
        found = measured(models, feed, QuantizeSettings(compute="static"))
        name = f"Conv of {each.channels}, {each.groups} groups, {each.taps} taps"
        rows += _rows(name, full, found)
    header = ["layer", "rank", "float32, ms", "speed", "bytes", "int8, ms", "speed", "bytes"]
    return table(header, rows)


def predictor_table(data: Path, folder: Path) -> tuple[str, float]:
    """What lower ranks of each W of the transducer's predictor do to its distributions, and the
    share of all weights that these are."""
    digits = open_corpus(data / "digits")
    rows = []
    with float_model(folder) as source, tempfile.TemporaryDirectory() as place:
        prepared = PreparedModel(source)
        learnt = prepared.feeds(sequences(digits.select(split="train"), _HEARD, 0))
        tested = prepared.feeds(sequences(digits.select(split="test"), _TESTED, 1))
        graph = prepared.graph()
        editor = GraphEditor(graph)
        weights = {n: w for n, w in layer_weights(editor).items() if n.endswith(".W")}
        for name, weight in weights.items():
            values = weight.array()
            assert values is not None
            matrix = values.reshape(-1, values.shape[-1])
            moments = ChannelMoments(-1)
            calibrate(graph, {str(weight.node.input[0]): Watched(name, (moments,))}, learnt)
            # About zero, as no bias takes up what is left.
            covariance = moments.covariance(centred=False)
            spectrum = Spectrum.through(matrix, covariance)
            full = matrix.shape[1]
            for share in SHARES_OF_PREDICTOR:
                rank = 8 * round(share * full / 8)
                found = low_rank(matrix, spectrum, rank)
                changed = onnx.ModelProto()
                changed.CopyFrom(graph)
                _store(changed, weight.value, found.product.reshape(values.shape))
                path = Path(place) / "changed.onnx"
                save_model(changed, path)
                moved = model_divergence(prepared, path, tested).mean
                left = rank * (full + len(matrix)) / matrix.size
                rows.append([name, f"rank {rank} of {full}", f"{left:.2f}", f"{moved:.6f}"])
            others = tuple(each.name for each in prepared.layers_of(graph) if each.name != name)
            for codec in map(CodecChoice.parse, CODECS):
                alone = QuantizeSettings(compute="float32", codec=codec, exclude=others)
                made = quantize_model(prepared, Path(place) / "alone.onnx", alone, learnt)
                moved = model_divergence(prepared, made.path, tested).mean
                taken = stored_bytes(codec.make(), matrix.shape, 0)
                rows.append([name, str(codec), f"{taken / matrix.size:.2f}", f"{moved:.6f}"])
        layers = prepared.layers_of(graph)
    own = sum(layer.parameters for layer in layers if layer.name in weights)
    share = own / sum(layer.parameters for layer in layers)
    header = ["layer", "stored as", "bytes, of int8's", "nats per point"]
    return table(header, rows), share


def _store(model: onnx.ModelProto, name: str, values: FloatArray) -> None:
    (tensor,) = (each for each in model.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), name))


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--model", "folder", type=click.Path(path_type=Path, exists=True), required=True)
def main(data: Path, folder: Path) -> None:
    """Measure, and renew the section in RESULTS.md."""
    costs, share = predictor_table(data, folder)
    click.echo(costs)
    times = times_table()
    click.echo(times)
    shares = ", ".join(f"{share:g}" for share in SHARES)
    replace_section(
        "structure-limits",
        f"""## Where lower ranks save nothing

`python -m benchmarks.structure_limits --data FOLDER --model TDT`: layers of random weights, whole
and split at {shares} of their full rank; one thread, forms in turns, medians of the processor's
time; speed and bytes of the file against the whole layer in the same precision. An LSTM's input
weights W become a product and an LSTM with fewer inputs, a grouped convolution two of as many
groups. {host()}.

{times}

The integer LSTM gains a tenth at half of its rank over a hundred steps, and nothing over one, as it
is run in a predictor. The grouped convolution gains, but is one layer in [124 ms of
Wav2Vec2-Base](#layer-by-layer-beside-openvino), which takes 4.5 ms: half of its ranks are worth one
per cent.

What such ranks of W cost a trained TDT of digits in float32, and fewer bits of the whole W, on
{_TESTED} sequences of takes that were not heard. Both W together are {share:.1%} of its weights:

{costs}
""",
    )


if __name__ == "__main__":
    main()

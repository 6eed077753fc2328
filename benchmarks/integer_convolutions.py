"""Convolutions as integer kernels against float32: which ones quantkit leaves in float.

Run it from the repository: ``python -m benchmarks.integer_convolutions``. It takes about a minute
and renews its section of RESULTS.md. The rule that leaves slow ones in float is switched off here,
so that they can be timed; the last column is what it says. See
:mod:`quantkit.quantization.kernels.eligibility`.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights
from quantkit.graph.plan import Compute
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.kernels.eligibility import reason_to_stay_float
from quantkit.runtime.session import create_session

COMPUTES: tuple[Compute, ...] = ("float32", "static", "dynamic")
_RULE = "quantkit.quantization.prepare.reason_to_stay_float"


@dataclass(frozen=True)
class Convolution:
    """One layer, and what it is given.

    Args:
        name: where such a layer is found.
        weight: (outputs, inputs per group, *kernel).
        size: of its input, without batch and channels: samples, frames, or frames and bands.
        stride: in each direction.
        group: groups of channels.
    """

    name: str
    weight: tuple[int, ...]
    size: tuple[int, ...]
    stride: int = 1
    group: int = 1

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, channels, *size)."""
        return (1, self.weight[1] * self.group, *self.size)


#: The first layers of models that hear samples, a depthwise one, and two that integers serve well.
CONVOLUTIONS = (
    Convolution("wav2vec 2.0, first", (512, 1, 10), (48_000,), 5),
    Convolution("the keyword spotter, first", (96, 1, 160), (48_000,), 20),
    Convolution("Wav2Letter on samples, first", (250, 1, 250), (48_000,), 160),
    Convolution("512 channels of long windows", (512, 1, 160), (48_000,), 20),
    Convolution("depthwise, two-dimensional", (256, 1, 3, 3), (150, 20), 1, 256),
    Convolution("wav2vec 2.0, second", (512, 512, 3), (9_599,), 2),
    Convolution("Wav2Letter, inner", (256, 256, 7), (150,)),
)


def write_convolution(path: Path, layer: Convolution) -> None:
    """A model of this layer alone, with weights as large as trained ones."""
    random = np.random.default_rng(0)
    weight = random.standard_normal(layer.weight) / np.sqrt(np.prod(layer.weight[1:]))
    node = helper.make_node(
        "Conv", ["x", "w"], ["y"], "conv", strides=[layer.stride] * len(layer.size),
        group=layer.group,
    )  # fmt: skip
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, layer.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def measure(folder: Path, layer: Convolution, seconds: float) -> dict[str, npt.NDArray[np.float64]]:
    """Milliseconds of each run by compute, run in turn for ``seconds``, on one thread."""
    source = folder / "source.onnx"
    write_convolution(source, layer)
    x = np.random.default_rng(1).standard_normal(layer.input_shape, np.float32)
    sessions = {}
    for compute in COMPUTES:
        with patch(_RULE, return_value=""):
            settings = QuantizeSettings(compute=compute)
            made = quantize_model(source, folder / f"{compute}.onnx", settings, [("x", {"x": x})])
        sessions[compute] = create_session(made.path, threads=1)
    times: dict[str, list[float]] = {compute: [] for compute in COMPUTES}
    end = time.perf_counter() + seconds
    while len(times["float32"]) < 5 or time.perf_counter() < end:
        for compute, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"x": x})
            times[compute].append(1_000 * (time.perf_counter() - start))
    return {compute: np.array(each) for compute, each in times.items()}


def rule(folder: Path, layer: Convolution, compute: Compute) -> str:
    """Why the layer stays float; empty if it need not."""
    write_convolution(folder / "source.onnx", layer)
    editor = GraphEditor(onnx.load(folder / "source.onnx"))
    (weight,) = layer_weights(editor).values()
    return reason_to_stay_float(weight, compute)


def report(measured: dict[Convolution, dict[str, npt.NDArray[np.float64]]], folder: Path) -> str:
    """The section of RESULTS.md."""
    rows = []
    for layer, times in measured.items():
        medians = {compute: float(np.median(each)) for compute, each in times.items()}
        rows.append(
            [
                layer.name,
                " × ".join(map(str, layer.weight)),
                f"{medians['float32']:.2f}",
                *(f"{medians['float32'] / medians[c]:.2f}×" for c in ("static", "dynamic")),
                *(rule(folder, layer, c).split(": ")[-1] for c in ("static", "dynamic")),
            ]
        )
    header = ["layer", "weight", "float32, ms", "static", "dynamic", "static stays float",
              "dynamic stays float"]  # fmt: skip
    runs = min(len(each) for times in measured.values() for each in times.values())
    return f"""## Convolutions that integers slow down

`python -m benchmarks.integer_convolutions`: single layers on one thread, medians of at least {runs}
interleaved runs; speed of the integer kernels against float32, and why quantkit leaves a layer in
float. {host()}.

{table(header, rows)}
"""


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="Time per layer.")
def main(seconds: float) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measured = {layer: measure(folder, layer, seconds) for layer in CONVOLUTIONS}
        section = report(measured, folder)
    replace_section("integer-convolutions", section)
    click.echo(section)


if __name__ == "__main__":
    main()

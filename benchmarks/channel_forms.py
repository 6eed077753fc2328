"""Static convolutions whose channels or groups the fast kernel of ONNX Runtime does not take.

Run it from the repository, with nothing else running: ``python -m benchmarks.channel_forms``. It
takes about a minute and renews its section of RESULTS.md. See
:mod:`quantkit.quantization.kernels.aligned_channels` and
:mod:`quantkit.quantization.kernels.split_groups`.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest.mock import patch

import click
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from quantkit.quantization import quantize_model
from quantkit.quantization.kernels import split_groups
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session

_ALIGNED = "quantkit.quantization.kernels.aligned_channels._missing"
_SPLIT = "quantkit.quantization.kernels.split_groups.FEWEST_WEIGHTS"
_ROUNDS = 25


@dataclass(frozen=True)
class Layer:
    """One convolution between two small ones.

    Args:
        name: where such a layer is found.
        inputs, outputs, taps, groups: of it.
        frames: of its input.
    """

    name: str
    inputs: int
    outputs: int
    taps: int
    frames: int
    groups: int = 1

    @property
    def described(self) -> str:
        """Its numbers, in words."""
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        return f"{self.inputs} → {self.outputs}, {self.taps} taps{groups}, {self.frames} frames"


LAYERS = (
    Layer("Wav2Letter, full width, ninth", 250, 2000, 32, 500),
    Layer("Wav2Letter, full width, inner", 250, 250, 7, 500),
    Layer("few channels", 90, 90, 7, 500),
    Layer("one tap", 250, 250, 1, 500),
    Layer("wav2vec 2.0, position", 768, 768, 128, 249, 16),
    Layer("wav2vec 2.0 large, position", 1024, 1024, 128, 249, 16),
    Layer("few taps", 768, 768, 3, 249, 16),
    Layer("small groups", 256, 256, 3, 249, 16),
)


def write(path: Path, layer: Layer) -> None:
    """The float model; convolutions of one tap around the layer, so that bytes go in and out."""
    random = np.random.default_rng(0)
    shapes = {
        "before": (layer.inputs, 24, 1),
        "layer": (layer.outputs, layer.inputs // layer.groups, layer.taps),
        "behind": (16, layer.outputs, 1),
        "last": (8, 16, 1),
    }
    nodes, constants, value = [], [], "x"
    for name, shape in shapes.items():
        weight = random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}.w"))
        bias = random.standard_normal(shape[0]).astype(np.float32) / 4
        constants.append(numpy_helper.from_array(bias, f"{name}.b"))
        groups = layer.groups if name == "layer" else 1
        pads = [shape[2] // 2, (shape[2] - 1) // 2]
        operands = [value, f"{name}.w", f"{name}.b"]
        result = "y" if name == "last" else f"{name}.out"
        nodes.append(helper.make_node("Conv", operands, [result], name, pads=pads, group=groups))
        if name != "last":
            nodes.append(helper.make_node("Relu", [result], [f"{name}.active"]))
            value = f"{name}.active"
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 24, layer.frames])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def row(folder: Path, layer: Layer) -> list[str]:
    """What the layer takes as it is and in the other form."""
    source = folder / "float32.onnx"
    write(source, layer)
    x = np.random.default_rng(1).standard_normal((1, 24, layer.frames), np.float32)
    paths = []
    for name, patches in (
        ("plain", ((_ALIGNED, _none), (_SPLIT, 1 << 40))),
        ("fast", ((_SPLIT, 1),)),
    ):
        with ExitStack() as stack:
            for target, value in patches:
                stack.enter_context(patch(target, value))
            clips = [("noise", {"x": x})]
            made = quantize_model(source, folder / f"{name}.onnx", "static-int8", clips)
        paths.append(made.path)
    sessions = [create_session(path, threads=1) for path in (source, *paths)]
    plain, fast = (each.run(None, {"x": x})[0] for each in sessions[1:])
    if not np.array_equal(plain, fast):
        raise click.ClickException(f"the forms of {layer.described} differ")
    seconds = interleaved_seconds(
        [partial(each.run, None, {"x": x}) for each in sessions],
        threads=1,
        effort=Effort(rounds=_ROUNDS, min_rounds=_ROUNDS),
        clock=time.process_time,
    )
    base, before, after = (1_000 * float(each) for each in np.median(seconds, axis=0))
    weights = layer.outputs * layer.inputs * layer.taps // layer.groups**2
    small = layer.groups > 1 and weights < split_groups.FEWEST_WEIGHTS
    taken = "no" if small else "yes"
    figures = [f"{each:.2f}" for each in (base, before, after)]
    return [layer.name, layer.described, *figures, f"{before / after:.2f}×", taken]


def _none(channels: int) -> int:
    return 0


@click.command()
def main() -> None:
    """Measure, and renew the section in RESULTS.md."""
    rows = []
    for layer in LAYERS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row(Path(folder), layer))
        click.echo("  ".join(rows[-1]))
    header = ["layer", "channels", "float32, ms", "as it is, ms", "fast form, ms", "gain", "taken"]
    replace_section(
        "channel-forms",
        f"""## Channels in fours, and groups one by one

`python -m benchmarks.channel_forms`: a static convolution between small ones, processor time on one
thread, forms in turns, medians of {_ROUNDS}. ONNX Runtime's fast kernel takes one group and
channels in fours; the fast form has channels of zeros, or a convolution for each group. Results of
both forms are equal bit for bit. Small groups stay as they are. {host()}.

{table(header, rows)}
""",
    )


if __name__ == "__main__":
    main()

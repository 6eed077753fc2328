"""Fast FIR for the strided convolutions of a wav2vec 2.0: measured, and left out of the package.

``python -m benchmarks.strided_filters`` takes a minute and renews its section of RESULTS.md.

The encoder of wav2vec 2.0 begins with convolutions of 3 taps and stride 2. With taps w₀, w₁, w₂ and
frames x, the outputs 2m and 2m + 1 are

    P + U       with P = w₀ x[4m], Q = w₂ x[4m + 2], U = w₁ x[4m + 1], P taken with Q,
    R + V − SP − Q   with R = (w₀ + w₂) (x[4m + 2] + x[4m + 4]), V = w₁ x[4m + 3],

where S is a shift by one of m: five products instead of six (K. Parhi, "VLSI Digital Signal
Processing Systems", 1999, section 9.2). Sums of two inputs are bytes if the inputs have 7 bits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from quantkit.arrays import Array

CHANNELS, TAPS = 512, 3
#: Frames of the inputs of the encoder's convolutions, of a clip of 5 seconds.
FRAMES = (16_000, 8_000, 4_000, 2_000)
ROUNDS = 20

_SCALE, _ZERO = np.float32(0.01), 20
_END = np.iinfo(np.int64).max

#: ONNX Runtime has no types.
Session = Any


@dataclass(frozen=True)
class Way:
    """One way to compute the convolution.

    Args:
        name: for people.
        session: of the graph.
        feed: its inputs.
    """

    name: str
    session: Session
    feed: Mapping[str, Array]


def weights() -> Array:
    """(outputs, channels, taps) int8 whose sums are bytes."""
    return np.random.default_rng(0).integers(-63, 64, (CHANNELS, CHANNELS, TAPS)).astype(np.int8)


def session(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array | np.generic],
    inputs: Mapping[str, Sequence[int]],
    outputs: Sequence[str],
) -> Session:
    """A graph of uint8 inputs and float outputs in ONNX Runtime, one thread."""
    graph = helper.make_graph(
        list(nodes),
        "convolution",
        [helper.make_tensor_value_info(n, TensorProto.UINT8, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def usual(frames: int) -> Session:
    """An integer convolution of 8 bits, and its results as floats; channels last."""
    names = ["frames", "scale", "zero", "weight", "scales", "zeros", "step", "middle"]
    nodes = [
        helper.make_node(
            "QLinearConv",
            names,
            ["levels"],
            strides=[2],
            kernel_shape=[TAPS],
            channels_last=1,
            domain="com.microsoft",
        ),
        helper.make_node("DequantizeLinear", ["levels", "step", "middle"], ["result"]),
    ]
    constants = {
        **_grids(),
        "weight": weights(),
        "zeros": np.zeros(CHANNELS, np.int8),
        "step": np.float32(5.0),
        "middle": np.uint8(128),
    }
    return session(nodes, constants, {"frames": [1, frames, CHANNELS]}, ["result"])


def fast(frames: int) -> Session:
    """The five products, their sums, and both phases in their order."""
    nodes = [helper.make_node("Reshape", ["frames", "by_four"], ["phases"])]
    constants: dict[str, Array | np.generic] = {
        **_products(),
        "by_four": np.array([frames // 4, 4 * CHANNELS]),
        "by_one": np.array([-1, CHANNELS]),
        "unit": np.float32(1.0),
        "none": np.uint8(0),
    }

    def cut(value: str, axis: int, start: int, stop: int, result: str) -> None:
        bounds = {f"at{start}": start, f"at{stop}": stop, f"axis{axis}": axis}
        constants.update({name: np.array([number]) for name, number in bounds.items()})
        nodes.append(helper.make_node("Slice", [value, *bounds], [result]))

    for phase in range(4):
        cut("phases", 1, phase * CHANNELS, (phase + 1) * CHANNELS, f"all{phase}")
        cut(f"all{phase}", 0, 0, -1, f"phase{phase}")
    cut("all0", 0, 1, _END, "later")
    grid = ["unit", "none"]
    addends = ["phase2", *grid, "later", *grid, *grid]
    nodes.append(helper.make_node("QLinearAdd", addends, ["sum"], domain="com.microsoft"))
    for node in _five(("all0", "phase2", "phase1", "sum", "phase3")):
        nodes.append(node)
    cut("P", 0, 0, -1, "first")
    cut("P", 0, 1, _END, "shifted")
    for operator, inputs, result in (
        ("Add", ["first", "Q"], "pair"),
        ("Add", ["pair", "U"], "even"),
        ("Add", ["R", "V"], "more"),
        ("Add", ["shifted", "Q"], "less"),
        ("Sub", ["more", "less"], "odd"),
    ):
        nodes.append(helper.make_node(operator, inputs, [result]))
    nodes.append(helper.make_node("Concat", ["even", "odd"], ["both"], axis=1))
    nodes.append(helper.make_node("Reshape", ["both", "by_one"], ["result"]))
    return session(nodes, constants, {"frames": [frames, CHANNELS]}, ["result"])


def products(frames: int) -> Session:
    """The five products alone."""
    inputs = {name: [frames // 4, CHANNELS] for name in "abcde"}
    return session(_five("abcde"), _products(), inputs, list("PQURV"))


def _five(inputs: Sequence[str]) -> list[onnx.NodeProto]:
    wanted = zip("PQURV", inputs, ("w0", "w2", "w1", "w02", "w1"), strict=True)
    return [
        helper.make_node(
            "MatMulIntegerToFloat",
            [value, weight, "scale", "scales", "twice" if name == "R" else "zero", "middle"],
            [name],
            domain="com.microsoft",
        )
        for name, value, weight in wanted
    ]


def _grids() -> dict[str, Array | np.generic]:
    return {"scale": _SCALE, "zero": np.uint8(_ZERO), "scales": np.full(CHANNELS, _SCALE)}


def _products() -> dict[str, Array | np.generic]:
    first, second, third = (np.ascontiguousarray(weights()[:, :, tap].T) for tap in range(TAPS))
    return {
        **_grids(),
        "twice": np.uint8(2 * _ZERO),
        "middle": np.int8(0),
        "w0": first,
        "w1": second,
        "w2": third,
        "w02": first + third,
    }


def ways(frames: int) -> list[Way]:
    """All of them, on the same frames of 7 bits."""
    heard = np.random.default_rng(1).integers(0, 128, (frames, CHANNELS)).astype(np.uint8)
    quarters = dict.fromkeys("abcde", heard[: frames // 4])
    return [
        Way("integer convolution, results to float", usual(frames), {"frames": heard[None]}),
        Way("fast FIR", fast(frames), {"frames": heard}),
        Way("its five products alone", products(frames), quarters),
    ]


def largest_error(frames: int) -> float:
    """Of fast FIR against sums of whole numbers, as a share of the largest result."""
    way = ways(frames)[1]
    (found,) = way.session.run(None, dict(way.feed))
    heard = way.feed["frames"].astype(np.int64) - _ZERO
    taps = weights().astype(np.int64)
    ends = range(0, 2 * len(found), 2)
    whole = sum(heard[np.add(ends, tap)] @ taps[:, :, tap].T for tap in range(TAPS))
    exact = whole * float(_SCALE) ** 2
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def times(each: Sequence[Way]) -> list[float]:
    """Median milliseconds, in turns."""
    found: list[list[float]] = [[] for _ in each]
    for way in each:
        way.session.run(None, dict(way.feed))
    for _ in range(ROUNDS):
        for taken, way in zip(found, each, strict=True):
            begin = time.perf_counter()
            way.session.run(None, dict(way.feed))
            taken.append(1e3 * (time.perf_counter() - begin))
    return [float(np.median(taken)) for taken in found]


@click.command()
def main() -> None:
    """Measure, and renew the section in RESULTS.md."""
    if (error := largest_error(FRAMES[-1])) > 1e-5:
        raise click.ClickException(f"fast FIR is off by {error:.1e} of the largest result")
    rows = []
    for frames in FRAMES:
        each = ways(frames)
        taken = times(each)
        shares = (f"{ms:.1f} ({ms / taken[0]:.2f})" for ms in taken)
        rows.append([f"{frames:,}", *shares])
    header = ["frames", *(way.name for way in ways(FRAMES[-1]))]
    section = f"""## Strided convolutions by fast FIR

`python -m benchmarks.strided_filters`: convolutions of wav2vec 2.0's encoder, {CHANNELS} channels,
{TAPS} taps, stride 2, as one integer convolution and by fast FIR, which takes five products instead
of six but inputs of 7 bits. Median milliseconds of {ROUNDS} runs in turns, one thread; in brackets
as a share of the integer convolution. {host()}.

{table(header, rows)}
"""
    click.echo(section)
    replace_section("strided-filters", section)


if __name__ == "__main__":
    main()

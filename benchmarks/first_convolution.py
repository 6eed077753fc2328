"""The first convolution of a FastConformer: measured as a product of patches, and left as it is.

``python -m benchmarks.first_convolution`` takes half a minute and renews its section of RESULTS.md.

A spectrogram has one channel, so the first convolution stays in float32, and ONNX Runtime computes
it with its channels in blocks of 16. What reads it, a static convolution, wants the channels last:
first ``ReorderOutput`` puts them in front of the rows, then bytes of all of them are transposed.
The other way computes a convolution that only picks patches, of 9 channels and one of ones,
transposes these, and multiplies them by the weights and biases: its results have the channels last.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from quantkit.arrays import Array

FRAMES, BANDS, TAPS = 1_000, 80, 3
#: Of the trained TDT of this project, of a small FastConformer, and of the published large ones.
CHANNELS = (32, 176, 256)
ROUNDS = 60

#: ONNX Runtime has no types.
Session = Any
_LAST = [0, 2, 3, 1]


def weights(channels: int) -> tuple[Array, Array]:
    """(channels, 1, taps, taps) and (channels,)."""
    random = np.random.default_rng(0)
    shape = (channels, 1, TAPS, TAPS)
    return (
        (0.3 * random.standard_normal(shape)).astype(np.float32),
        random.standard_normal(channels).astype(np.float32),
    )


def session(nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Array]) -> Session:
    """From a spectrogram to ``rectified``, and from there to the masked bytes of its rows."""
    known = {
        **constants,
        "channel": np.array([1]),
        "row": np.array([0, 0, -1]),
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0, np.uint8),
        "inside": (np.arange(FRAMES // 2) < FRAMES // 3).reshape(1, -1, 1),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Unsqueeze", ["spectrogram", "channel"], ["image"]),
            *nodes,
            helper.make_node("Reshape", ["rectified", "row"], ["rows"]),
            helper.make_node("QuantizeLinear", ["rows", "scale", "zero"], ["bytes"]),
            helper.make_node("Where", ["inside", "bytes", "zero"], ["masked"]),
        ],
        "subsampling",
        [helper.make_tensor_value_info("spectrogram", TensorProto.FLOAT, [1, FRAMES, BANDS])],
        [helper.make_tensor_value_info("masked", TensorProto.UINT8, None)],
        [numpy_helper.from_array(value, name) for name, value in known.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def _convolved(weight: str, bias: str, result: str) -> onnx.NodeProto:
    window: dict[str, Any] = {
        "kernel_shape": [TAPS, TAPS],
        "strides": [2, 2],
        "pads": [1, 1, 1, 1],
    }
    return helper.make_node("Conv", ["image", weight, bias], [result], **window)


def usual(channels: int) -> Session:
    """The convolution, and its result with the channels last."""
    weight, bias = weights(channels)
    nodes = [
        _convolved("weight", "bias", "made"),
        helper.make_node("Relu", ["made"], ["above"]),
        helper.make_node("Transpose", ["above"], ["rectified"], perm=_LAST),
    ]
    return session(nodes, {"weight": weight, "bias": bias})


def patches(channels: int) -> Session:
    """Patches, and their product with weights and biases."""
    weight, bias = weights(channels)
    size = TAPS * TAPS
    picks = np.zeros((size + 1, 1, TAPS, TAPS), np.float32)
    picks[:size] = np.eye(size).reshape(size, 1, TAPS, TAPS)
    constants = {
        "picks": picks,
        "ones": np.eye(size + 1, dtype=np.float32)[size],
        "product": np.concatenate((weight.reshape(channels, size).T, bias[None])),
    }
    nodes = [
        _convolved("picks", "ones", "picked"),
        helper.make_node("Transpose", ["picked"], ["patches"], perm=_LAST),
        helper.make_node("MatMul", ["patches", "product"], ["made"]),
        helper.make_node("Relu", ["made"], ["rectified"]),
    ]
    return session(nodes, constants)


@click.command()
def main() -> None:
    """Measure, and renew the section in RESULTS.md."""
    random = np.random.default_rng(1)
    feed = {"spectrogram": random.standard_normal((1, FRAMES, BANDS)).astype(np.float32)}
    rows = []
    for channels in CHANNELS:
        sessions = [usual(channels), patches(channels)]
        one, other = (each.run(None, feed)[0] for each in sessions)
        if not np.array_equal(one, other):
            raise click.ClickException("the two ways differ")
        taken = np.empty((ROUNDS, len(sessions)))
        for turn in range(ROUNDS):
            for place, each in enumerate(sessions):
                begin = time.thread_time()
                each.run(None, feed)
                taken[turn, place] = time.thread_time() - begin
        first, second = 1_000 * np.median(taken, axis=0)
        rows.append([str(channels), f"{first:.2f}", f"{second:.2f}", f"{first - second:.2f}"])
    section = f"""## The first convolution of a FastConformer

`python -m benchmarks.first_convolution`: the first convolution of the subsampling, its rounding and
its mask, for {FRAMES // 100} seconds of {BANDS} bands. Milliseconds of the processor, one thread,
both ways in turns, medians of {ROUNDS}. Both give the same bytes. {host()}.

{table(["channels", "as it is", "product of patches", "less"], rows)}
"""
    replace_section("first-convolution", section)
    click.echo(section)


if __name__ == "__main__":
    main()

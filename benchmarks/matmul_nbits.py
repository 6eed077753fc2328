"""``MatMulNBits`` against int8 and float32: one matrix product of each shape, one thread.

Run it from the repository: ``python -m benchmarks.matmul_nbits``. It takes about four minutes and
renews its section of RESULTS.md.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.load import OPEN, Cost, cost_of
from benchmarks.results import host, replace_section, table
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import load_model
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.storage import stored_layers
from quantkit.runtime.session import create_session

#: Inputs and outputs of a Wav2Vec2-Base and a Whisper base: attention, a feed-forward layer both
#: ways, and the output layer over tokens.
SHAPES = (
    (768, 768),
    (768, 3072),
    (3072, 768),
    (512, 512),
    (512, 2048),
    (2048, 512),
    (512, 51_865),
)
#: Weights from which on a layer sees few rows, and opening it is measured.
_LARGE = 20_000_000


def rows_of(inputs: int, outputs: int) -> tuple[int, ...]:
    """A token, a second and five seconds of speech at 50 frames per second, and a Whisper's window.

    The output layer sees tokens only.
    """
    return (1, 50) if inputs * outputs > _LARGE else (1, 50, 250, 1500)


VARIANTS = {
    "float32": QuantizeSettings(compute="float32"),
    "int8, dynamic": QuantizeSettings(compute="dynamic"),
    **{
        f"bitplane:{bits}, dynamic": QuantizeSettings(
            compute="dynamic", codec=CodecChoice("bitplane", bits)
        )
        for bits in (4, 2)
    },
    **{
        f"blocks:{bits}, block_size={size}": QuantizeSettings(
            compute="matmul-nbits", codec=CodecChoice("blocks", bits, {"block_size": size})
        )
        for bits, size in ((8, 32), (4, 16), (4, 32), (4, 64), (4, 128), (2, 32), (2, 128))
    },
}


@dataclass(frozen=True)
class Measured:
    """One variant of one product.

    Args:
        layer_bytes: of its weight in the file, scales and zero points included.
        error: signal-to-noise ratio of its result in dB.
        milliseconds: of each run, by number of rows.
        opening: what opening the file takes, of large layers.
    """

    layer_bytes: int
    error: float
    milliseconds: dict[int, npt.NDArray[np.float64]]
    opening: Cost | None


def write_product(path: Path, inputs: int, outputs: int) -> None:
    """Weights with the heavy tails of trained ones (Laplace), and channels of unequal size."""
    random = np.random.default_rng(0)
    weight = random.laplace(size=(inputs, outputs)) * random.uniform(0.5, 2.0, outputs)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", outputs])],
        [numpy_helper.from_array((weight / np.sqrt(inputs)).astype(np.float32), "w")],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def measure(folder: Path, inputs: int, outputs: int, seconds: float) -> dict[str, Measured]:
    """All variants of one shape, run in turn for ``seconds`` per number of rows."""
    source = folder / "source.onnx"
    write_product(source, inputs, outputs)
    sessions, sizes, openings = {}, {}, {}
    for number, (name, settings) in enumerate(VARIANTS.items()):
        path = quantize_model(source, folder / f"{number}.onnx", settings).path
        sizes[name] = stored_layers(load_model(path))[0].bytes
        sessions[name] = create_session(path, threads=1)
        large = inputs * outputs > _LARGE
        openings[name] = cost_of(OPEN, path) if large else None
    random = np.random.default_rng(1)
    times: dict[str, dict[int, list[float]]] = {name: {} for name in VARIANTS}
    noise = {}
    for rows in rows_of(inputs, outputs):
        feed = {"x": random.standard_normal((rows, inputs), np.float32)}
        results = {name: session.run(None, feed)[0] for name, session in sessions.items()}
        exact = results["float32"].astype(np.float64)
        for name, result in results.items():
            with np.errstate(divide="ignore"):
                noise[name] = 10 * np.log10((exact**2).sum() / ((result - exact) ** 2).sum())
        end, rounds = time.process_time() + seconds, 0
        while rounds < 5 or time.process_time() < end:
            for name, session in sessions.items():
                start = time.process_time()
                session.run(None, feed)
                elapsed = 1_000 * (time.process_time() - start)
                times[name].setdefault(rows, []).append(elapsed)
            rounds += 1
    return {
        name: Measured(
            sizes[name],
            noise[name],
            {rows: np.array(each) for rows, each in times[name].items()},
            openings[name],
        )
        for name in VARIANTS
    }


def report(measured: dict[tuple[int, int], dict[str, Measured]]) -> str:
    """The section of RESULTS.md."""
    sections = []
    for (inputs, outputs), variants in measured.items():
        lines = []
        int8, counts = variants["int8, dynamic"], rows_of(inputs, outputs)
        for name, variant in variants.items():
            medians = {count: np.median(variant.milliseconds[count]) for count in counts}
            speeds = [np.median(int8.milliseconds[count]) / medians[count] for count in counts]
            lines.append(
                [
                    name,
                    f"{8 * variant.layer_bytes / (inputs * outputs):.3f}",
                    "–" if name == "float32" else f"{variant.error:.1f}",
                    *(f"{medians[count]:.3f}" for count in counts),
                    *(f"{speed:.2f}×" for speed in speeds),
                ]
            )
            if variant.opening is not None:
                cost = variant.opening
                lines[-1] += [f"{cost.peak_bytes / 1e6:.0f}", f"{cost.seconds:.2f}"]
        header = ["variant", "bits per weight", "dB"]
        header += [f"{count} × ms" for count in counts] + [f"{count} × speed" for count in counts]
        header += ["opening: MB", "s"] if int8.opening is not None else []
        sections.append(f"### {inputs} × {outputs}\n\n{table(header, lines)}")
    runs = min(
        len(t) for v in measured.values() for m in v.values() for t in m.milliseconds.values()
    )
    body = "\n\n".join(sections)
    return f"""## Blocks of weights: MatMulNBits against int8

`python -m benchmarks.matmul_nbits`: one matrix product, Laplace weights, one thread, at least
{runs} interleaved runs, medians of the processor's time. Columns are for 1 row (a decoder's step)
to 1,500 (a Whisper's window); speed is against `int8, dynamic` (`DynamicQuantizeMatMul`, weights of
one byte in memory); `bitplane` is packed in the file, and the same in memory. dB is the
signal-to-noise ratio of the result; opening is peak memory beyond the libraries, and seconds of the
processor. `accuracy_level` is 4. Arm has kernels of its own, which were not run. {host()}.

{body}

For one row the time goes into reading the weight, and the kernel that reads 4 bits wins. For many
rows it goes into the products, and int8 wins by far: there, a packed codec with compute `dynamic`
or `static` is as small and faster. `MatMulNBits` is for decoders that make one token at a time.
"""


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="Time per shape and row count.")
def main(seconds: float) -> None:
    """Measure, and renew the section in RESULTS.md."""
    measured = {}
    for inputs, outputs in SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            measured[inputs, outputs] = measure(Path(folder), inputs, outputs, seconds)
    section = report(measured)
    replace_section("matmul-nbits", section)
    click.echo(section)


if __name__ == "__main__":
    main()

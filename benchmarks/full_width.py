"""Size and speed of every preset on the full-width Wav2Letter (23.6 M random weights).

Run it from the repository: ``python -m benchmarks.full_width``. It takes some minutes, needs
PyTorch for the export, and renews its section of RESULTS.md. With the extra ``peers`` OpenVINO and
NNCF take part.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from benchmarks import openvino_peer
from benchmarks.results import host, replace_section, table
from quantkit.audio.frontend import Frontend
from quantkit.exporting.to_onnx import export_wav2letter
from quantkit.graph.artifact import total_size
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.quantization import PRESETS, quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.runtime.session import create_session
from quantkit.text.labels import Labels

FRAMES = 1_000
#: Bits of the ninth layer's input with which it takes fewer products.
FEWER_BITS = (7, 6)
#: Random weights are rounded well enough so.
QUICKLY = PtqSettings(rounding="nearest")
CALIBRATION_FRAMES = (1_000, 733, 301)

NNCF = "OpenVINO + NNCF int8"

#: Megabytes that the source work reports, by preset.
PUBLISHED_MB = {"float32": 94.5, "int8": 23.7, "semi-int8": 25.1}

#: Least speed against float32 that we promise, by preset.
PROMISED = {"static-int8": 3.5, "dynamic-int8": 1.0, "semi-int8": 1.0, "int8": 1.0}


@dataclass(frozen=True)
class Timing:
    """Milliseconds of each run of one variant."""

    name: str
    size_bytes: int
    milliseconds: npt.NDArray[np.float64]

    @property
    def median(self) -> float:
        return float(np.median(self.milliseconds))

    @property
    def p95(self) -> float:
        return float(np.percentile(self.milliseconds, 95))


Clips = list[tuple[str, dict[str, npt.NDArray[Any]]]]


def write_float(folder: Path, config: Wav2LetterConfig) -> tuple[Path, Clips]:
    """Export random weights; returns the model and clips of noise to calibrate on."""
    torch.manual_seed(0)
    source = folder / "float32.onnx"
    labels = Labels(("<blank>", *(f"unit{i}" for i in range(1, config.labels))))
    export_wav2letter(Wav2Letter(config).eval(), labels, Frontend(), source)
    random = np.random.default_rng(0)
    clips: Clips = [
        (
            f"clip of {frames} frames",
            {
                "features": random.standard_normal((1, frames, config.features), np.float32),
                "lengths": np.array([frames]),
            },
        )
        for frames in CALIBRATION_FRAMES
    ]
    return source, clips


def write_variants(folder: Path, config: Wav2LetterConfig) -> dict[str, Path]:
    """Export random weights and quantize them by every preset and by ONNX Runtime alone."""
    source, clips = write_float(folder, config)
    paths = {"float32": source}
    for name in PRESETS:
        if name != "float32":
            paths[name] = quantize_model(source, folder / f"{name}.onnx", name, clips).path
    for bits in FEWER_BITS:
        name = f"static-int8, layer 9 of {bits} bits"
        target = folder / f"static-{bits}.onnx"
        settings = ninth_layer_of(bits)
        paths[name] = quantize_model(source, target, settings, clips, fitting=QUICKLY).path
    for label, weight_type in (("uint8", QuantType.QUInt8), ("int8", QuantType.QInt8)):
        name = f"ONNX Runtime quantize_dynamic, {label}"
        paths[name] = folder / f"quantize_dynamic-{label}.onnx"
        logging.disable(logging.WARNING)  # its advice to preprocess
        quantize_dynamic(
            onnx.load(source), paths[name], op_types_to_quantize=["Conv"], weight_type=weight_type
        )
        logging.disable(logging.NOTSET)
    if openvino_peer.available():
        feeds = [feed for _, feed in clips]
        paths[NNCF] = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=False)
    return paths


def ninth_layer_of(bits: int) -> QuantizeSettings:
    """Static int8 with the ninth layer's input on a grid of so many bits."""
    rules = () if bits == 8 else (LayerRule.parse(f"layer9.conv=@static/{bits}"),)
    return replace(preset("static-int8"), rules=rules)


def time_variants(paths: dict[str, Path], frames: int, seconds: float) -> list[Timing]:
    """Run all variants in turn, one thread, until ``seconds`` are over (at least five rounds)."""
    random = np.random.default_rng(1)
    feed = {
        "features": random.standard_normal((1, frames, 40), np.float32),
        "lengths": np.array([frames]),
    }
    runs: dict[str, Callable[[], object]] = {}
    for name, path in paths.items():
        if name == NNCF:
            runs[name] = partial(openvino_peer.Peer(path).run, feed)
        else:
            runs[name] = partial(create_session(path, threads=1).run, None, feed)
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in paths}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < 5 or time.perf_counter() < end:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1_000 * (time.perf_counter() - start))
        rounds += 1
    sizes = {
        name: openvino_peer.size(path) if name == NNCF else total_size(path)
        for name, path in paths.items()
    }
    return [Timing(name, sizes[name], np.array(times[name])) for name in paths]


def report(timings: list[Timing], frames: int) -> str:
    """The section of RESULTS.md."""
    base = timings[0]
    rows = []
    for timing in timings:
        published = PUBLISHED_MB.get(timing.name)
        rows.append(
            [
                timing.name,
                f"{timing.size_bytes / 1e6:.2f}",
                f"{published}" if published else "–",
                f"{timing.median:.1f}",
                f"{timing.p95:.1f}",
                f"{base.median / timing.median:.2f}×",
                f"≥ {PROMISED[timing.name]:g}×" if timing.name in PROMISED else "–",
            ]
        )
    header = ["variant", "MB", "published MB", "median ms", "p95 ms", "speed", "promised"]
    return f"""## Full-width Wav2Letter: size and speed

`python -m benchmarks.full_width`: random weights, 35 labels, {frames} frames, batch 1, one thread,
{len(base.milliseconds)} interleaved runs each. {host()}.

{table(header, rows)}

`quantize_dynamic` is what the source work used and found slower than float32: it turns a
convolution into `ConvInteger`, whose left factor is the weight: the right one, the unfolded
activations, is packed anew in every run, and a signed left factor (int8 weights) has no fast
kernel. Our dynamic presets gather the taps of each output frame (im2col on bytes) and multiply by
`MatMulInteger`, whose right factor is the int8 weight, packed once, when the session loads.

Two thirds of the products are the ninth layer's. Its 250 input channels, and those of the layers
before, are filled up to 256 while the session loads, because the fast kernel takes them in fours
([what that gains](#channels-in-fours-and-groups-one-by-one)). With 7 or 6 bits for that layer's
input and weights, it takes three quarters or nine sixteenths of the products ([forms of a long
convolution](#forms-of-a-long-convolution)).
"""


def broken_promises(timings: list[Timing]) -> list[str]:
    """What the measurement does not bear out, in words."""
    base = timings[0].median
    found = []
    for timing in timings:
        speed, size = base / timing.median, timing.size_bytes / 1e6
        if speed < PROMISED.get(timing.name, 0.0):
            found.append(f"{timing.name} runs at {speed:.2f}×, less than {PROMISED[timing.name]}×")
        published = PUBLISHED_MB.get(timing.name)
        if published and abs(size / published - 1) > 0.01:
            found.append(f"{timing.name} takes {size:.2f} MB, more than 1 % off {published} MB")
    return found


@click.command()
@click.option("--seconds", default=30.0, show_default=True, help="Time for the measured runs.")
def main(seconds: float) -> None:
    """Measure, renew the section in RESULTS.md, and fail if a promise is broken."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_variants(Path(folder), Wav2LetterConfig())
        timings = time_variants(paths, FRAMES, seconds)
    section = report(timings, FRAMES)
    replace_section("full-width", section)
    click.echo(section)
    if broken := broken_promises(timings):
        raise click.ClickException("; ".join(broken))


if __name__ == "__main__":
    main()

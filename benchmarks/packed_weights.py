"""Packed weights on the full-width Wav2Letter: size, speed, load time and memory of each codec.

Run it from the repository: ``python -m benchmarks.packed_weights``. It takes about five minutes,
needs PyTorch for the export, and renews its section of RESULTS.md.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.full_width import FRAMES, Clips, Timing, time_variants, write_float
from benchmarks.results import host, replace_section, table
from quantkit.benchmarking.memory import Footprint, measure_footprint
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import total_size
from quantkit.graph.plan import LayerPlan
from quantkit.models.wav2letter import Wav2LetterConfig
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.session import create_session

CODECS = (
    *(f"bitplane:{bits}" for bits in range(2, 9)),
    *(f"native:{bits}" for bits in (2, 4)),
    *(f"codebook:{bits}" for bits in (2, 3, 4)),
    *(f"grouped:{bits}" for bits in (2, 3, 4)),
    "codebook:3,scope=channel",
    "ternary",
    "powers:3",
    "powers:4",
    "binary,group_size=64",
    "sparse:4,keep=15",
)

#: How often every session is opened anew for timing.
SESSIONS = 4

#: How much slower than static int8 a packed model may run.
SLOWER = 1.03
#: Least speed of static int8 against float32.
LEAST_SPEED = 3.7
#: Seconds that loading may take beyond plain int8; ``native`` tensors take less.
LOAD_SECONDS, NATIVE_LOAD_SECONDS = 0.6, 0.3
#: Peak memory against that of loading plain int8.
MEMORY = 3.0
#: How far a file may be from parameters · bits / 8 plus scales.
SIZE = 0.01
#: How far it may be from what the plan predicted.
PREDICTION_BYTES = 256


@dataclass(frozen=True)
class Variant:
    """One codec's file.

    Args:
        name: of the codec, or ``float32`` or ``int8``.
        path: of the model.
        bits: per weight; tables and multipliers not counted.
        ideal_bytes: parameters · bits / 8 plus scales and biases.
        predicted_bytes: what the plan said the file would take; 0 without a plan.
        identical: whether its outputs equal, bit for bit, those of the same integers stored
            plainly.
    """

    name: str
    path: Path
    bits: float
    ideal_bytes: float
    predicted_bytes: int = 0
    identical: bool = True


def write_variants(folder: Path, source: Path, clips: Clips) -> list[Variant]:
    """Quantize by every codec, static."""
    variants = [Variant("float32", source, 32, total_size(source))]
    for name in ("int8", *CODECS):
        choice = CodecChoice.parse(name)
        settings = QuantizeSettings(compute="static", codec=choice)
        plan = with_sizes(source, settings)
        path = folder / f"{name}.onnx"
        result = quantize_model(source, path, plan, clips)
        twin = quantize_model(source, folder / "plain.onnx", plan, clips, pack=False).path
        variants.append(
            Variant(
                name,
                path,
                choice.bits,
                sum(ideal_bytes(row) for row in result.layers),
                plan.predicted_bytes or 0,
                same_outputs(path, twin, clips),
            )
        )
        click.echo(f"{name}: written", err=True)
    return variants


def ideal_bytes(row: LayerPlan) -> float:
    """Weights at their bits; scale and bias at four bytes each per output channel."""
    return math.prod(row.shape) * row.bits / 8 + 2 * 4 * row.shape[0]


def same_outputs(path: Path, other: Path, clips: Clips) -> bool:
    """Whether two models give the same bits for every clip."""
    one, two = create_session(path), create_session(other)
    return all(
        np.array_equal(a, b)
        for _, feed in clips
        for a, b in zip(one.run(None, feed), two.run(None, feed), strict=True)
    )


def time_sessions(paths: dict[str, Path], seconds: float) -> list[Timing]:
    """Time all models in several sets of sessions, and put the runs of each together.

    The same graph runs up to 3 % slower or faster in another session, depending on where in memory
    its weights come to lie.
    """
    sets = []
    for turn in range(SESSIONS):
        # Another order each time: what is loaded first finds the memory empty.
        names = list(paths)[turn * len(paths) // SESSIONS :] + list(paths)
        order = {name: paths[name] for name in names}
        sets.append(time_variants(order, FRAMES, seconds / SESSIONS))
    return [
        Timing(
            name,
            total_size(path),
            np.concatenate([t.milliseconds for turn in sets for t in turn if t.name == name]),
        )
        for name, path in paths.items()
    ]


def report(variants: list[Variant], timings: list[Timing], footprints: list[Footprint]) -> str:
    """The section of RESULTS.md."""
    float_timing, int8_timing, int8 = timings[0], timings[1], footprints[1]
    rows = [
        [
            variant.name,
            f"{timing.size_bytes / 1e6:.2f}",
            f"{timing.size_bytes / variant.ideal_bytes - 1:+.2%}",
            f"{timing.size_bytes - variant.predicted_bytes:+d}" if variant.predicted_bytes else "–",
            f"{timing.median:.1f}",
            f"{float_timing.median / timing.median:.2f}×",
            f"{timing.median / int8_timing.median - 1:+.1%}",
            f"{footprint.load_s:.2f}",
            f"{footprint.load_s - int8.load_s:+.2f}",
            f"{footprint.peak_rss_bytes / 1e6:.0f}",
            f"{footprint.peak_rss_bytes / int8.peak_rss_bytes:.2f}×",
            "yes" if variant.identical else "NO",
        ]
        for variant, timing, footprint in zip(variants, timings, footprints, strict=True)
    ]
    header = [
        "codec", "MB", "against bits/8", "against plan, bytes", "median ms", "speed",
        "against int8", "load s", "more than int8", "peak MB", "against int8", "same bits",
    ]  # fmt: skip
    return f"""## Packed weights on the full-width Wav2Letter

`python -m benchmarks.packed_weights`: random weights, all 11 layers static with the named codec,
{FRAMES} frames, batch 1, one thread, {len(float_timing.milliseconds)} interleaved runs each in
{SESSIONS} sessions.
*against bits/8*: the file against parameters · bits / 8 plus scales and biases (multipliers and
tables of `grouped` and `codebook` come on top). *load* and *peak*: a fresh process that opens the
session and runs once. *same bits*: outputs equal those of the same integers stored as plain int8.
{host()}.

{table(header, rows)}
"""


def broken_promises(
    variants: list[Variant], timings: list[Timing], footprints: list[Footprint]
) -> list[str]:
    """What the measurement does not bear out, in words."""
    found = []
    int8_timing, int8 = timings[1], footprints[1]
    speed = timings[0].median / int8_timing.median
    if speed < LEAST_SPEED:
        found.append(f"static int8 runs at {speed:.2f}×, less than {LEAST_SPEED}×")
    for variant, timing, footprint in zip(variants[1:], timings[1:], footprints[1:], strict=True):
        slower = timing.median / int8_timing.median
        if slower > SLOWER:
            found.append(f"{variant.name} is {slower - 1:.1%} slower than int8")
        more = footprint.load_s - int8.load_s
        allowed = NATIVE_LOAD_SECONDS if variant.name.startswith("native") else LOAD_SECONDS
        if more > allowed:
            found.append(f"{variant.name} loads {more:.2f} s longer than int8")
        memory = footprint.peak_rss_bytes / int8.peak_rss_bytes
        if memory > MEMORY:
            found.append(f"{variant.name} takes {memory:.2f} times int8's memory to load")
        uniform = variant.name.startswith(("bitplane", "native", "int8"))
        if uniform and abs(timing.size_bytes / variant.ideal_bytes - 1) > SIZE:
            found.append(f"{variant.name} takes {timing.size_bytes:,} bytes, more than 1 % off")
        if abs(timing.size_bytes - variant.predicted_bytes) > PREDICTION_BYTES:
            found.append(f"{variant.name}: {timing.size_bytes:,} bytes were not predicted")
        if not variant.identical:
            found.append(f"{variant.name} does not compute what its integers say")
    return found


@click.command()
@click.option("--seconds", default=120.0, show_default=True, help="Time for the measured runs.")
def main(seconds: float) -> None:
    """Measure, renew the section in RESULTS.md, and fail if a promise is broken."""
    with tempfile.TemporaryDirectory() as folder:
        source, clips = write_float(Path(folder), Wav2LetterConfig())
        variants = write_variants(Path(folder), source, clips)
        timings = time_sessions({v.name: v.path for v in variants}, seconds)
        footprints = [measure_footprint(variant.path, FRAMES) for variant in variants]
    section = report(variants, timings, footprints)
    replace_section("packed-weights", section)
    click.echo(section)
    if broken := broken_promises(variants, timings, footprints):
        raise click.ClickException("; ".join(broken))


if __name__ == "__main__":
    main()

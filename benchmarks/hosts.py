"""The shipped files on other processors: emulated x86 without VNNI, emulated ARM, and this one.

Run it from the repository after ``make quantize``: ``python -m benchmarks.hosts``. It needs QEMU's
emulators of programs (Debian: ``apt-get install qemu-user-static``), renews its section of
RESULTS.md, and leaves out a processor that cannot be emulated, with the reason. The first time it
puts a Python for ARM together in ``build/arm64`` (see :mod:`benchmarks.emulators`).

``--small`` is for CI: two files and one clip on x86 without VNNI, a minute; it fails where a result
differs from this processor's by more than rounding.

Two questions are answered. Which kernels overflow: each with the largest weights there are, and
with weights of at most 64. And what that does to whole files: how far their posteriors are from
those of float32, and how many frames get another label than on this processor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click
import numpy as np

from benchmarks.cells import ROOT
from benchmarks.emulators import Processor, arm, haswell, native
from benchmarks.host_kernels import write_kernels
from benchmarks.results import host, replace_section, table
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.target_cpu import TargetCpu
from quantkit.runtime.hosts import INT8_REACH, SAFE_LEVEL
from quantkit.sensitivity.posteriors import divergence

Arrays = Mapping[str, np.ndarray]

SOURCE = ROOT / "build" / "wav2letter-en" / "float32.onnx"
WORKER = Path(__file__).with_name("host_worker.py")
PRESETS = ("static-int8", "dynamic-int8", "int8")
TARGETS: tuple[TargetCpu, ...] = ("any", "vnni")
#: How far results of float kernels may differ between processors, as a share of the largest one.
TOLERANCE = 1e-4
#: Labels of 8-bit results next to each other may swap where a sum lies halfway between two levels.
_FEW_FRAMES = 0.02


def run_on(processor: Processor, models: Path, inputs: Arrays) -> dict[str, np.ndarray]:
    """The results of every model in a folder, by ``model/run``.

    Raises:
        RuntimeError: the processor's Python fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "inputs.npz", Path(folder) / "results.npz"
        np.savez(given, **cast(dict[str, Any], inputs))
        processor.run([WORKER, models, given, made])
        with np.load(made) as found:
            return {key: found[key] for key in found.files}


def error(before: np.ndarray, after: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    largest = float(np.abs(before).max()) or 1.0
    return float(np.abs(after.astype(np.float64) - before).max()) / largest


def kernel_errors(
    processors: Sequence[Processor], folder: Path
) -> dict[str, dict[tuple[str, int], float]]:
    """Of each kernel: its error by processor and by how far its weights go from zero.

    The reference is this processor, which must have VNNI or be an ARM one.
    """
    found: dict[str, dict[tuple[str, int], float]] = {}
    for largest in (SAFE_LEVEL, INT8_REACH - 1):
        models = folder / f"kernels-{largest}"
        models.mkdir()
        inputs = write_kernels(models, largest)
        expected = run_on(native(), models, inputs)
        for processor in processors:
            results = run_on(processor, models, inputs)
            for key, values in results.items():
                kernel = key.rpartition("/")[0]
                errors = found.setdefault(kernel, {})
                errors[processor.name, largest] = error(expected[key], values)
    return found


def write_files(folder: Path, audio: Corpus, targets: Sequence[TargetCpu]) -> list[str]:
    """float32 and the presets for each target CPU in ``folder``; returns their names."""
    (folder / "float32.onnx").write_bytes(SOURCE.read_bytes())
    heard = CalibrationData(audio, read_info(SOURCE))
    names = ["float32"]
    for preset in PRESETS:
        for target in targets:
            name = f"{preset}, {target}"
            fitting = PtqSettings(target_cpu=target)
            quantize_model(SOURCE, folder / f"{name}.onnx", preset, heard, fitting=fitting)
            names.append(name)
    return names


def inputs_of(corpus: Corpus) -> dict[str, np.ndarray]:
    """The inputs of the shipped model for each clip."""
    found: dict[str, np.ndarray] = {}
    for number, (_, feed) in enumerate(CalibrationData(corpus, read_info(SOURCE))):
        found |= {f"{number}/{name}": value for name, value in feed.items()}
    return found


def moved(before: Arrays, after: Arrays, first: str, second: str) -> float:
    """Mean divergence per frame of one model's posteriors from another's, in nats."""
    pairs = [
        (values[0], after[f"{second}/{key.rpartition('/')[2]}"][0])
        for key, values in before.items()
        if key.rpartition("/")[0] == first
    ]
    total = sum(divergence(one, other, np.ones(len(one), np.float32)) for one, other in pairs)
    return float(total / sum(len(one) for one, _ in pairs))


def changed(before: Arrays, after: Arrays, model: str) -> float:
    """Share of frames whose most likely label is another one."""
    keys = [key for key in before if key.rpartition("/")[0] == model]
    labels = [(before[key].argmax(-1), after[key].argmax(-1)) for key in keys]
    return float(sum((a != b).sum() for a, b in labels) / sum(a.size for a, _ in labels))


def kernel_table(errors: Mapping[str, Mapping[tuple[str, int], float]]) -> str:
    """One row per kernel, blocks of all sizes being one; ``exact`` up to float rounding."""
    by_kernel: dict[str, dict[tuple[str, int], float]] = {}
    for kernel, found in errors.items():
        row = by_kernel.setdefault(kernel.partition(",")[0], {})
        for place, value in found.items():
            row[place] = max(row.get(place, 0.0), value)
    places = sorted(next(iter(by_kernel.values())), key=lambda each: (each[1], each[0]))
    rows = [
        [
            kernel,
            *(
                "exact" if found[place] < TOLERANCE else f"off by {found[place]:.0%}"
                for place in places
            ),
        ]
        for kernel, found in sorted(by_kernel.items())
    ]
    return table(["kernel", *(f"{name}, ±{level}" for name, level in places)], rows)


def file_table(names: Sequence[str], results: Mapping[str, Arrays]) -> str:
    """One row per file, a column per processor."""
    here = results[native().name]
    rows = []
    for name in names:
        row = [name]
        for processor, found in results.items():
            # Of a float file it may lie below zero by rounding.
            cell = f"{max(moved(here, found, 'float32', name), 0.0):.5f}"
            if processor != native().name:
                cell += f" ({changed(here, found, name):.1%})"
            row.append(cell)
        rows.append(row)
    return table(["file", *results], rows)


def emulated(folder: Path, small: bool) -> tuple[list[Processor], list[str]]:
    """The processors that can be emulated here, and why the others cannot."""
    found, missing = [], []
    x86 = haswell()
    if x86 is None:
        missing.append("x86 without VNNI: no qemu-x86_64-static here, or no x86 processor")
    else:
        found.append(x86)
    if not small:
        try:
            processors = arm(folder)
            found += processors
            if not processors:
                missing.append("ARM: no qemu-aarch64-static here")
        except RuntimeError as reason:
            missing.append(f"ARM: {reason}")
    return found, missing


def check(processors: Sequence[Processor], audio: Corpus) -> None:
    """The small run: files for any processor compute everywhere what they compute here.

    Raises:
        click.ClickException: they do not.
    """
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        names = write_files(models, audio, ("any",))
        inputs = inputs_of(audio.sample(1))
        here = run_on(native(), models, inputs)
        for processor in processors:
            there = run_on(processor, models, inputs)
            for name in names:
                share = changed(here, there, name)
                click.echo(f"{processor.name}, {name}: {share:.1%} of the labels differ")
                if share > _FEW_FRAMES:
                    raise click.ClickException(f"{name} is not right on {processor.name}")


@click.command()
@click.option("--clips", default=6, show_default=True, help="Of calibration_data's test split.")
@click.option("--small", is_flag=True, help="For CI: one clip, x86 only, no table.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=ROOT / "build" / "arm64",
    help="Of the Python for ARM.",
)
def main(clips: int, small: bool, folder: Path) -> None:
    """Compare files and kernels on several processors."""
    processors, missing = emulated(folder, small)
    for reason in missing:
        click.echo(f"left out: {reason}", err=True)
    if not processors:
        return
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = open_corpus(ROOT / "calibration_data")
    audio = corpus.select(split="calibration")
    if small:
        check(processors, audio)
        return
    with tempfile.TemporaryDirectory() as scratch:
        errors = kernel_errors(processors, Path(scratch))
        models = Path(scratch) / "files"
        models.mkdir()
        names = write_files(models, audio, TARGETS)
        inputs = inputs_of(corpus.select(split="test").sample(clips))
        results = {each.name: run_on(each, models, inputs) for each in (native(), *processors)}
    parts = [
        "## Processors",
        f"`python -m benchmarks.hosts`. This processor: {host()}. x86, AVX2: Haswell, emulated by "
        "QEMU; ARM: Cortex-A72, and Neoverse N1, which has instructions for dot products, with "
        "ONNX Runtime's own wheel for ARM.",
        "### Kernels",
        f"Activations and weights as large as they get, ±127, and ±{SAFE_LEVEL}; error as a share "
        "of the largest result.",
        kernel_table(errors),
        "### Files",
        f"The shipped model on {clips} synthetic test clips: divergence from float32 on this "
        "processor, in nats per frame, and in brackets the share of frames whose most likely label "
        "is another one than on this processor. `any` and `vnni` are values of `--target-cpu`.",
        file_table(names, results),
    ]
    if missing:
        parts.append(f"Left out: {'; '.join(missing)}.")
    replace_section("hosts", "\n\n".join(parts))
    click.echo("\n\n".join(parts))


if __name__ == "__main__":
    main()

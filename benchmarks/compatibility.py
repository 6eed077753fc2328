"""The same files in old and new ONNX Runtimes: do they load, fold, and say the same?

Run it from the repository: ``python -m benchmarks.compatibility``. It makes a virtual environment
per release in a cache folder (a minute each, the first time), installs onnxruntime-node and
onnxruntime-web, the WebAssembly of browsers, into a temporary folder, and renews its section of
RESULTS.md. Runtimes that cannot be installed here are
left out with a note.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch

from benchmarks.results import host, replace_section, table
from quantkit.audio.frontend import Frontend
from quantkit.codecs.catalogue import CodecChoice
from quantkit.exporting.to_onnx import export_wav2letter
from quantkit.graph.plan import Compute
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.targets import oldest_for, target
from quantkit.text.labels import Labels

#: Of JavaScript, as a table names them.
PACKAGES = {"onnxruntime-node": "node", "onnxruntime-web": "wasm"}
#: Besides the one that this Python has, which is the measure of the others.
RELEASES = ("1.15.1", "1.17.3", "1.20.1", "1.23.2", "1.24.4", "1.27.0", "1.31.1")

COMPUTES: tuple[Compute, ...] = ("static", "dynamic")
CODECS = (
    "int8",
    *(f"bitplane:{bits}" for bits in range(1, 8)),
    *(f"native:{bits}" for bits in (2, 4)),
    *(f"codebook:{bits}" for bits in (2, 3, 4)),
    *(f"grouped:{bits}" for bits in (2, 3, 4)),
    "ternary",
    *(f"powers:{bits}" for bits in (2, 3, 4)),
    "binary",
    "binary,group_size=64",
    "sparse:4,keep=20",
    "tiered:2,tiers=10x8+10x5",
)

_HERE = Path(__file__).parent
# A model that hangs an old runtime should not hang the study.
_SECONDS = 300
# Enough of a process's complaint to know it by.
_COMPLAINT = 200


@dataclass(frozen=True)
class Runtime:
    """One ONNX Runtime; ``command`` runs its probe when the probe's arguments are appended."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What one runtime made of one file.

    Args:
        error: why it did not load or run; None if it did.
        outputs: by name.
        unfolded: nodes left in the optimised graph that have constants only for input.
    """

    error: str | None
    outputs: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    unfolded: Counter[str] = field(default_factory=Counter)

    def against(self, newest: Outcome) -> str:
        """A cell of the table: ``✓``, or what is wrong."""
        if self.error is not None:
            return reason(self.error)
        found = []
        if difference := largest_difference(self.outputs, newest.outputs):
            found.append(f"differs by {difference:.1e}")
        if self.unfolded:
            nodes = ", ".join(f"{count} {op}" for op, count in sorted(self.unfolded.items()))
            found.append(f"not folded: {nodes}")
        return "; ".join(found) or "✓"


class LeftOut(Exception):
    """A runtime that cannot be had on this machine, and why."""


def make_files(folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Write the files of the study into ``folder``; returns the inputs to run them on.

    The shipped model's architecture in narrow, with random weights: every kind of layer, mask and
    decoder is there, and nothing takes long.
    """
    torch.manual_seed(0)
    source = folder / "float32.onnx"
    # Scales and biases of 128 channels are float16; narrower ones are not.
    config = Wav2LetterConfig(labels=29, width=32, head_width=128)
    export_wav2letter(Wav2Letter(config).eval(), Labels.english(), Frontend(), source)
    random = np.random.default_rng(0)
    clips = [
        (
            f"clip of {frames} frames",
            {
                "features": random.standard_normal((1, frames, config.features), np.float32),
                "lengths": np.array([frames]),
            },
        )
        for frames in (150, 260)
    ]
    for codec in CODECS:
        for compute in COMPUTES:
            name = f"{compute} {codec.replace(':', ' ')}"
            settings = QuantizeSettings(compute=compute, codec=CodecChoice.parse(codec))
            quantize_model(source, folder / f"{name}.onnx", settings, clips)
    return clips[0][1]


def reason(error: str) -> str:
    """What a runtime says when it refuses a model, in a few words.

    >>> reason("... Unsupported model IR version: 13, max supported IR version: 9")
    'no: IR 13'
    """
    for pattern, words in (
        (r"[Uu]nsupported model IR version: (\d+)", r"IR \1"),
        (r"[Oo]pset (\d+) is under development", r"opset \1"),
        (r"Could not find an implementation for (\w+\(\d+\))", r"lacks \1"),
        (r"(\w+)\(-?\d+\) is not a registered function/op", r"lacks \1"),
    ):
        if found := re.search(pattern, error):
            return "no: " + found.expand(words)
    return "no: " + error[:_COMPLAINT].replace("|", "/")


def largest_difference(
    first: dict[str, npt.NDArray[Any]], second: dict[str, npt.NDArray[Any]]
) -> float:
    """Of any two elements, 0 where all bits agree; infinite where types or shapes do not."""
    largest = 0.0
    for name, expected in second.items():
        given = first[name]
        if given.dtype != expected.dtype or given.shape != expected.shape:
            return float("inf")
        if given.tobytes() != expected.tobytes():
            gap = np.abs(given.astype(np.float64) - expected.astype(np.float64))
            gap = np.where(np.isnan(gap), np.inf, gap)
            largest = max(largest, float(gap.max()), np.finfo(np.float64).tiny)
    return largest


def unfolded(optimised: Path) -> Counter[str]:
    """Operators that are computed from constants alone, yet in every run.

    A node without inputs counts too, but for ``Constant``.
    """
    graph = onnx.load(str(optimised), load_external_data=False).graph
    constants = {tensor.name for tensor in graph.initializer}
    found: Counter[str] = Counter()
    for node in graph.node:
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
            found[node.op_type] += node.op_type != "Constant"
    return +found


def python_runtime(version: str, environments: Path) -> Runtime:
    """ONNX Runtime ``version`` in an environment of its own, made if it is not there yet.

    Raises:
        LeftOut: it cannot be installed.
    """
    folder = environments / version
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / ".ready"
    if not ready.exists():
        click.echo(f"installing ONNX Runtime {version} into {folder}", err=True)
        venv.create(folder, clear=True, with_pip=True)
        # Built against NumPy 1, they do not import with NumPy 2.
        numpy = "numpy<2" if target(version).opset < target("1.19").opset else "numpy"
        arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _checked([str(python), *arguments, f"onnxruntime=={version}", numpy])
        ready.touch()
    return Runtime(version, (str(python), str(_HERE / "compatibility_probe.py")))


def node_runtime(folder: Path, package: str) -> Runtime:
    """A package for JavaScript, installed into ``folder``.

    Args:
        package: one of :data:`PACKAGES`.

    Raises:
        LeftOut: there is no Node.js, or the package cannot be installed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise LeftOut("Node.js with npm is not installed")
    click.echo(f"installing {package}", err=True)
    # What install scripts fetch is for GPUs.
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    _checked([npm, "install", "--prefix", str(folder), *options, package])
    described = folder / "node_modules" / package / "package.json"
    version = json.loads(described.read_text(encoding="utf-8"))["version"]
    probe = str(_HERE / "compatibility_probe.mjs")
    return Runtime(f"{PACKAGES[package]} {version}", (node, probe, str(folder), package))


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LeftOut(_complaint(done))


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or [f"exit code {done.returncode}"])[-1][:_COMPLAINT]


def probe(runtime: Runtime, model: Path, feeds: dict[str, npt.NDArray[Any]]) -> Outcome:
    """Load and run ``model`` in ``runtime``, in a process of its own: old runtimes may crash."""
    with tempfile.TemporaryDirectory(prefix="quantkit-compatibility-") as folder:
        request, result, optimised = (
            Path(folder) / name for name in ("request.json", "result.json", "optimised.onnx")
        )
        request.write_text(json.dumps({name: _encoded(feeds[name]) for name in feeds}))
        paths = [str(path) for path in (model.resolve(), request, result, optimised)]
        try:
            done = subprocess.run(
                [*runtime.command, *paths],
                capture_output=True,
                text=True,
                check=False,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return Outcome(f"no answer within {_SECONDS} s")
        if not result.exists():
            return Outcome(f"ended with {done.returncode}: {_complaint(done)}")
        answer = json.loads(result.read_text(encoding="utf-8"))
        if answer["error"] is not None:
            return Outcome(answer["error"])
        outputs = {name: _decoded(value) for name, value in answer["outputs"].items()}
        # WebAssembly has no file to write its graph to.
        left = unfolded(optimised) if optimised.exists() else Counter[str]()
        return Outcome(None, outputs, left)


def _encoded(array: npt.NDArray[Any]) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"type": str(array.dtype), "dims": list(array.shape), "data": data}


def _decoded(value: dict[str, Any]) -> npt.NDArray[Any]:
    flat = np.frombuffer(base64.b64decode(value["data"]), value["type"])
    return flat.reshape(value["dims"])


@dataclass(frozen=True)
class Row:
    """One file: its size, the release that it should load from, and every runtime's outcome."""

    name: str
    size_bytes: int
    promised: str | None
    outcomes: dict[str, Outcome]

    def broken_promises(self) -> list[str]:
        """Where :mod:`quantkit.runtime.targets` is wrong about this file, in words."""
        found = []
        for runtime, outcome in self.outcomes.items():
            if runtime.startswith(tuple(PACKAGES.values())):
                continue
            loads = self.promised is not None and _number(runtime) >= _number(self.promised)
            if loads and outcome.error is not None:
                found.append(f"{self.name} should load in {runtime}: {reason(outcome.error)}")
            if not loads and outcome.error is None:
                found.append(f"{self.name} loads in {runtime} and was thought not to")
        return found


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def measure(
    files: Sequence[Path], feeds: dict[str, npt.NDArray[Any]], runtimes: Sequence[Runtime]
) -> list[Row]:
    """Every file in every runtime."""
    rows = []
    for path in files:
        oldest = oldest_for(onnx.load(str(path), load_external_data=False))
        outcomes = {runtime.name: probe(runtime, path, feeds) for runtime in runtimes}
        rows.append(
            Row(path.stem, path.stat().st_size, oldest.version if oldest else None, outcomes)
        )
        click.echo(f"{path.stem}: done", err=True)
    return rows


def report(rows: Sequence[Row], newest: str, left_out: dict[str, str]) -> str:
    """The section of RESULTS.md."""
    names = list(rows[0].outcomes)
    cells = [
        [
            row.name,
            f"{row.size_bytes / 1e6:.2f}",
            row.promised or "none",
            *(row.outcomes[name].against(row.outcomes[newest]) for name in names),
        ]
        for row in rows
    ]
    notes = "".join(f"\nLeft out: {name} ({why}).\n" for name, why in left_out.items())
    return f"""## Packed files in old and new ONNX Runtimes

`python -m benchmarks.compatibility`. ✓: the file loads, its outputs are bit-identical to those of
ONNX Runtime {newest}, and nothing of a decoder is left in the graph that runs (`wasm`,
onnxruntime-web, does not show its graph). A number is the largest difference between two outputs;
"no" is followed by why the file does not load. *from* is the oldest release that quantkit names for
the file. {host()}.

{table(["file", "MB", "from", *names], cells)}
{notes}"""


def _default_environments() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "quantkit" / "runtimes"


@click.command()
@click.option(
    "--environments",
    type=click.Path(file_okay=False, path_type=Path),
    default=_default_environments,
    show_default="quantkit/runtimes in your cache folder",
    help="Folder of the virtual environments, one per release.",
)
@click.option(
    "--files",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Measure the .onnx files of this folder instead of making some.",
)
@click.option(
    "--feeds",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Inputs for --files by name, an .npz.",
)
@click.option("--dry-run", is_flag=True, help="Print the section and leave RESULTS.md alone.")
def main(environments: Path, files: Path | None, feeds: Path | None, dry_run: bool) -> None:
    """Measure, renew the section in RESULTS.md, and fail where quantkit's table is wrong."""
    if (files is None) != (feeds is None):
        raise click.UsageError("--files and --feeds go together")
    newest = Runtime(
        onnxruntime.__version__, (sys.executable, str(_HERE / "compatibility_probe.py"))
    )
    runtimes, left_out = [], {}
    with tempfile.TemporaryDirectory(prefix="quantkit-compatibility-") as scratch:
        for version in RELEASES:
            try:
                runtimes.append(python_runtime(version, environments))
            except LeftOut as why:
                left_out[f"ONNX Runtime {version}"] = str(why)
        runtimes.append(newest)
        for package in PACKAGES:
            try:
                runtimes.append(node_runtime(Path(scratch) / package, package))
            except LeftOut as why:
                left_out[package] = str(why)
        if files is None or feeds is None:
            files = Path(scratch) / "files"
            files.mkdir()
            inputs = make_files(files)
        else:
            with np.load(feeds) as given:
                inputs = dict(given)
        rows = measure(sorted(files.glob("*.onnx")), inputs, runtimes)
    section = report(rows, newest.name, left_out)
    if not dry_run:
        replace_section("compatibility", section)
    click.echo(section)
    if broken := [promise for row in rows for promise in row.broken_promises()]:
        raise click.ClickException("; ".join(broken))


if __name__ == "__main__":
    main()

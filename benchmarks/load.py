"""What opening a model takes: a Wav2Vec2-Base and a Whisper base at 4 bits against plain int8.

Run it from the repository: ``python -m benchmarks.load --whisper base.onnx``, where the file is a
float32 Whisper of ``quantkit export``; without it, the Wav2Vec2-Base alone is measured. It needs
PyTorch and transformers for the export, takes a few minutes, renews its section of RESULTS.md, and
fails if a promise is broken. The levels of all weights are random: what opening costs is the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import model_files, save_model, total_size
from quantkit.planning.size import dry_build
from quantkit.quantization.choices.presets import preset
from quantkit.runtime.load_memory import load_memory

CODECS = ("int8", "bitplane:4", "codebook:4", "grouped:4", "native:4")
#: Peak of opening a packed file, in peaks of plain int8, that is promised.
PACKED_PEAK = 3.0
#: Likewise of opening an unpacked file.
UNPACKED_PEAK = 1.05
#: How far what ``inspect`` foretells may be from the measured peak.
FORETOLD = 0.15

# As an edge program opens a model: without quantkit and onnx, whose memory would be counted.
OPEN = """
import json, os, resource, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
before, began = status("VmRSS:"), time.process_time()
sessions = [onnxruntime.InferenceSession(p, options, providers=["CPUExecutionProvider"])
            for p in sys.argv[1:]]
print(json.dumps([status("VmHWM:") - before, time.process_time() - began]))
"""
_UNPACK = """
import json, sys, time
from pathlib import Path
from quantkit.benchmarking.memory_probe import peak_resident_bytes
from quantkit.runtime.unpacking import unpack_model
before, began = peak_resident_bytes(), time.process_time()
unpack_model(Path(sys.argv[1]), Path(sys.argv[2]))
print(json.dumps([peak_resident_bytes() - before, time.process_time() - began]))
"""


@dataclass(frozen=True)
class Cost:
    """Memory beyond that of the libraries, and processor time, of one process.

    Args:
        peak_bytes: the most resident memory.
        seconds: on one thread.
    """

    peak_bytes: int
    seconds: float


@dataclass(frozen=True)
class Loading:
    """One file.

    Args:
        model, codec: what tables call it.
        size_bytes: of all its files.
        first: opening it.
        foretold_bytes: the peak of that as ``inspect`` says.
        unpacking: of a packed file; None for others.
        second: opening the unpacked file; likewise.
    """

    model: str
    codec: str
    size_bytes: int
    first: Cost
    foretold_bytes: int
    unpacking: Cost | None = None
    second: Cost | None = None


def export_wav2vec2(folder: Path) -> Path:
    """A float32 Wav2Vec2-Base of random weights in ``folder``."""
    # In a process of its own, so that PyTorch is not in memory here.
    code = (
        "from pathlib import Path; from transformers import Wav2Vec2Config; "
        "from benchmarks.wav2vec2_base import export_as_users_do; "
        f"export_as_users_do(Path({str(folder)!r}), Wav2Vec2Config())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return folder / "exported.onnx"


def cost_of(code: str, *arguments: Path) -> Cost:
    """What ``code`` says of itself, in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    peak, seconds = json.loads(done.stdout.splitlines()[-1])
    return Cost(int(peak), float(seconds))


def loading(model: str, codec: str, path: Path) -> Loading:
    """Open the model at ``path``, and if it is packed, unpack it and open what comes of it."""
    found = Loading(
        model,
        codec,
        total_size(path),
        cost_of(OPEN, *model_files(path)),
        load_memory(path).peak_bytes,
    )
    if codec in ("float32", "int8"):
        return found
    unpacked = path.with_name("unpacked.onnx")
    unpacking = cost_of(_UNPACK, path, unpacked)
    return replace(found, unpacking=unpacking, second=cost_of(OPEN, *model_files(unpacked)))


def all_loadings(model: str, source: Path, settings: str, folder: Path) -> list[Loading]:
    """The float32 model and one file for each codec."""
    found = [loading(model, "float32", source)]
    for name in CODECS:
        path = folder / "packed.onnx"
        wanted = replace(preset(settings), codec=CodecChoice.parse(name))
        save_model(dry_build(source, wanted).model, path)
        found.append(loading(model, name, path))
        click.echo(f"{model}, {name}: measured", err=True)
    return found


def report(loadings: Sequence[Loading]) -> str:
    """The section of RESULTS.md."""
    rows = []
    for each in loadings:
        int8 = int8_of(each, loadings)
        cells = [
            f"{each.model}, {each.codec}",
            f"{each.size_bytes / 1e6:.1f}",
            f"{each.first.peak_bytes / 1e6:.0f}",
            f"{each.first.peak_bytes / int8.peak_bytes:.2f}×",
            f"{each.foretold_bytes / each.first.peak_bytes - 1:+.0%}",
            f"{each.first.seconds:.2f}",
        ]
        if each.unpacking is None or each.second is None:
            rows.append([*cells, "–", "–", "–", "–", "–"])
            continue
        rows.append(
            [
                *cells,
                f"{each.unpacking.peak_bytes / 1e6:.0f}",
                f"{each.unpacking.seconds:.2f}",
                f"{each.second.peak_bytes / 1e6:.0f}",
                f"{each.second.peak_bytes / int8.peak_bytes:.2f}×",
                f"{each.second.seconds:.2f}",
            ]
        )
    header = [
        "model", "MB", "opening: peak MB", "against int8", "foretold", "s",
        "`unpack`: peak MB", "s", "unpacked: peak MB", "against int8", "s",
    ]  # fmt: skip
    return f"""## What opening a packed file takes

`python -m benchmarks.load`: resident memory beyond that of the libraries and processor time of
opening a file on one thread, each in a process of its own. *int8*: the same layers as plain int8.
*foretold*: the peak that `inspect` names against the measured one. *unpack*: `quantkit unpack`,
once; *unpacked*: opening what it wrote. All graphs of the Whisper are open at once. {host()}.

{table(header, rows)}
"""


def int8_of(each: Loading, loadings: Sequence[Loading]) -> Cost:
    """Opening the same model as plain int8."""
    return next(o.first for o in loadings if (o.model, o.codec) == (each.model, "int8"))


def broken_promises(loadings: Sequence[Loading]) -> list[str]:
    """What the measurement does not bear out, in words."""
    found = []
    for each in loadings:
        name, int8 = f"{each.model}, {each.codec}", int8_of(each, loadings)
        if abs(each.foretold_bytes / each.first.peak_bytes - 1) > FORETOLD:
            found.append(f"{name}: {each.foretold_bytes / 1e6:.0f} MB were foretold")
        if each.second is None:
            continue
        if each.first.peak_bytes > PACKED_PEAK * int8.peak_bytes:
            found.append(f"{name} takes more than {PACKED_PEAK} times int8's memory to open")
        if each.second.peak_bytes > UNPACKED_PEAK * int8.peak_bytes:
            found.append(f"{name} takes more than int8's memory to open once unpacked")
    return found


@click.command()
@click.option("--whisper", type=click.Path(path_type=Path), help="A float32 Whisper base.")
def main(whisper: Path | None) -> None:
    """Measure, renew the section in RESULTS.md, and fail if a promise is broken."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = all_loadings("Wav2Vec2-Base", export_wav2vec2(folder), "hybrid", folder)
        if whisper is not None:
            found += all_loadings("Whisper base", whisper, "dynamic-int8", folder)
    section = report(found)
    replace_section("load", section)
    click.echo(section)
    if broken := broken_promises(found):
        raise click.ClickException("; ".join(broken))


if __name__ == "__main__":
    main()

"""What ONNX Runtime's own ways of opening a file give: saved graphs, prepacked and mapped weights.

Run it from the repository: ``python -m benchmarks.load_ways --whisper base.onnx``, where the file
is a float32 Whisper of ``quantkit export``; without it, the Wav2Vec2-Base alone is measured. It
needs PyTorch and transformers, takes some minutes and renews its section of RESULTS.md.
All ways start from what ``quantkit unpack`` wrote of the same packed file, and each way is measured
alone. The levels of all weights are random: what opening and running cost is the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import onnxruntime

from benchmarks.cells import ROOT
from benchmarks.load import export_wav2vec2
from benchmarks.results import host, replace_section, table
from quantkit.codecs.catalogue import CodecChoice
from quantkit.graph.artifact import model_files, save_model
from quantkit.planning.size import dry_build
from quantkit.quantization.choices.presets import preset
from quantkit.runtime.unpacking import unpack_model

CODEC = "bitplane:4"

_PREPACKED = "session.save_external_prepacked_constant_initializers"
_EXTERNAL = "session.optimized_model_external_initializers_"
_MAPPED = {
    "session.use_memory_mapped_ort_model": "1",
    "session.use_ort_model_bytes_directly": "1",
    "session.use_ort_model_bytes_for_initializers": "1",
}

# As an edge program opens and runs a model, on one thread. The first graph is run: on five seconds
# of samples, or on a window of a Whisper. The least of some runs is the least disturbed one.
_OPEN_AND_RUN = """
import json, os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np, onnxruntime
def status(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 4
for key, value in json.loads(sys.argv[1]).items():
    options.add_session_config_entry(key, value)
before, private, began = status("VmRSS:"), status("RssAnon:"), time.process_time()
sessions = [onnxruntime.InferenceSession(p, options, providers=["CPUExecutionProvider"])
            for p in sys.argv[2:]]
opened = [status("VmHWM:") - before, status("RssAnon:") - private, time.process_time() - began]
feeds = {"waveform": np.zeros((1, 80_000), np.float32), "lengths": np.array([80_000]),
         "features": np.zeros((1, 80, 3_000), np.float32)}
feeds = {each.name: feeds[each.name] for each in sessions[0].get_inputs()}
times = []
for _ in range(6):
    began = time.process_time()
    sessions[0].run(None, feeds)
    times.append(time.process_time() - began)
print(json.dumps([*opened, min(times[1:])]))
"""


@dataclass(frozen=True)
class Way:
    """How a file is kept and opened.

    Args:
        saving: settings of a session that writes its optimised graph; None: the unpacked file.
        opening: settings of the session that opens it.
        suffix: of what is written.
    """

    saving: Mapping[str, str] | None = None
    opening: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ".onnx"


WAYS = {
    "unpacked": Way(),
    "unpacked, `disable_prepacking`": Way(opening={"session.disable_prepacking": "1"}),
    "optimised graph saved": Way(saving={}),
    "the same, with prepacked weights": Way(saving={_PREPACKED: "1"}),
    "`.ort`": Way(saving={"session.save_model_format": "ORT"}, suffix=".ort"),
    "`.ort`, mapped": Way({"session.save_model_format": "ORT"}, _MAPPED, ".ort"),
}


@dataclass(frozen=True)
class Opened:
    """One way, as measured in a process of its own.

    Args:
        model, way: what the table calls it.
        disk_bytes: of all that is kept.
        peak_bytes, private_bytes: resident memory beyond the libraries: the most while opening, and
            afterwards what no file is mapped to.
        seconds: of the processor, for opening.
        run_seconds: likewise, for a run of the first graph.
    """

    model: str
    way: str
    disk_bytes: int
    peak_bytes: int
    private_bytes: int
    seconds: float
    run_seconds: float


def kept(unpacked: Sequence[Path], way: Way, folder: Path) -> list[Path]:
    """What ``way`` opens."""
    if way.saving is None:
        return [*unpacked]
    found = []
    for path in unpacked:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # A warning says that the file is for this processor only.
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        found.append(folder / f"{path.stem}{way.suffix}")
        options.optimized_model_filepath = str(found[-1])
        if way.suffix == ".onnx":
            options.add_session_config_entry(f"{_EXTERNAL}file_name", f"{path.stem}.weights")
            options.add_session_config_entry(f"{_EXTERNAL}min_size_in_bytes", "1024")
        for key, value in way.saving.items():
            options.add_session_config_entry(key, value)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return found


def all_ways(model: str, source: Path, settings: str, folder: Path) -> list[Opened]:
    """Every way for one model."""
    packed, unpacked = folder / "packed.onnx", folder / "unpacked" / "model.onnx"
    wanted = replace(preset(settings), codec=CodecChoice.parse(CODEC))
    save_model(dry_build(source, wanted).model, packed)
    unpack_model(packed, unpacked)
    found = []
    for name, way in WAYS.items():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            paths = kept(model_files(unpacked), way, Path(own))
            place = paths[0].parent
            disk = sum(path.stat().st_size for path in place.iterdir())
            code = [sys.executable, "-c", _OPEN_AND_RUN, json.dumps(dict(way.opening))]
            done = subprocess.run(
                [*code, *map(str, paths)], cwd=ROOT, check=True, capture_output=True, text=True
            )
        peak, private, seconds, run = json.loads(done.stdout.splitlines()[-1])
        found.append(Opened(model, name, disk, int(peak), int(private), seconds, run))
        click.echo(f"{model}, {name}: measured", err=True)
    return found


def report(opened: Sequence[Opened]) -> str:
    """The section of RESULTS.md."""
    rows = []
    for each in opened:
        first = next(other for other in opened if other.model == each.model)
        rows.append(
            [
                f"{each.model}, {each.way}",
                f"{each.disk_bytes / 1e6:.0f}",
                f"{each.peak_bytes / 1e6:.0f}",
                f"{each.private_bytes / 1e6:.0f}",
                f"{each.seconds:.2f}",
                f"{first.run_seconds / each.run_seconds:.2f}×",
            ]
        )
    header = ["kept as", "disk, MB", "opening: peak MB", "private MB", "s", "speed"]
    return f"""## Ways of ONNX Runtime to open a file

`python -m benchmarks.load_ways`: what `quantkit unpack` wrote of a file with `{CODEC}`, and what
ONNX Runtime makes of it. Each way in a process of its own, one thread. Memory is beyond the
libraries; private is what no file is mapped to, so that the system cannot drop it, and processes do
not share it. Seconds are of the processor; speed is that of a run of the first graph (five seconds
of samples; a window of 30 seconds) against the first line. Graphs are saved at the level
`ORT_ENABLE_EXTENDED`; they are for this version and this kind of processor. {host()}.

{table(header, rows)}
"""


@click.command()
@click.option("--whisper", type=click.Path(path_type=Path), help="A float32 Whisper base.")
def main(whisper: Path | None) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = all_ways("Wav2Vec2-Base", export_wav2vec2(folder), "hybrid", folder)
        if whisper is not None:
            found += all_ways("Whisper base", whisper, "dynamic-int8", folder)
    section = report(found)
    replace_section("load-ways", section)
    click.echo(section)


if __name__ == "__main__":
    main()

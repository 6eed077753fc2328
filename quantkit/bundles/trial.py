"""Run a bundle's model once as its users will: with ONNX Runtime and NumPy, without quantkit.

The model runs in a separate process. A damaged model can crash the native runtime, which must not
crash ``verify``. The same script can also run under another Python with another ONNX Runtime, so
that a bundle can be tested on several versions.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantkit.bundles.example import example_source
from quantkit.bundles.in_chunks import FRONTENDS
from quantkit.bundles.manifest import DECODING, FRONTEND, LABELS, MODEL, why_unsafe
from quantkit.bundles.several import IN_CHUNKS, KINDS
from quantkit.disk.files import write_text
from quantkit.disk.reading import require_utf8
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, ModelError
from quantkit.json_fields import Fields, Range, parse_json
from quantkit.runtime.load_memory import LoadMemory
from quantkit.text.labels import Labels

_TIMEOUT_S = 600
_SECONDS_OF_SOUND = 2
# Beyond any recorder, and little enough for the memory that two seconds take.
_HIGHEST_RATE = 1_000_000

_SCRIPT = """
import json, platform, sys, time
from pathlib import Path
import numpy as np
import onnxruntime as ort

model, labels, sample_rate, seconds = sys.argv[1], *map(int, sys.argv[2:5])
options = ort.SessionOptions()
options.log_severity_level = 3
options.intra_op_num_threads = 1
begin = time.perf_counter()
session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
load_s = time.perf_counter() - begin
noise = np.random.RandomState(0).uniform(-0.1, 0.1, (1, seconds * sample_rate))
feed = {"waveform": noise.astype("float32"), "lengths": np.array([noise.size], "int64")}
begin = time.perf_counter()
log_probs, lengths = session.run(["log_probs", "output_lengths"], feed)
run_s = time.perf_counter() - begin
if log_probs.ndim != 3 or log_probs.shape[0] != 1 or log_probs.shape[2] != labels:
    sys.exit("log_probs has shape %s, not (1, frames, %d)" % (log_probs.shape, labels))
if lengths.shape != (1,) or not 0 < lengths[0] <= log_probs.shape[1]:
    sys.exit("output_lengths is %s for %d output frames" % (lengths, log_probs.shape[1]))
total = np.exp(log_probs.astype("float64")).sum(axis=2)
if not np.isfinite(log_probs).all() or abs(total - 1).max() > 1e-3:
    sys.exit("log_probs are not log-probabilities: not finite, or they do not sum to one")
"""
_REPORT = """
import onnxruntime as ort
cpu = platform.processor() or platform.machine()
try:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
except (OSError, StopIteration):
    pass
print(json.dumps({
    "onnxruntime": ort.__version__, "numpy": np.__version__,
    "python": platform.python_version(), "os": platform.system(),
    "machine": platform.machine(), "cpu": cpu,
    "load_s": round(load_s, 3), "rtf": round(run_s / seconds, 4),
}))
"""


# Of a folder for another program, whose graphs are run by that alone.
_OPEN = """
import json, platform, sys, time
from pathlib import Path
import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.log_severity_level = 3
options.intra_op_num_threads = 1
seconds, run_s = 1, 0.0
begin = time.perf_counter()
for path in sys.argv[1:]:
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
load_s = time.perf_counter() - begin
"""

# The same of several graphs, by the example of their kind. It is written anew from the package, and
# not read from the bundle: a bundle that is verified may be anybody's.
_SEVERAL = """
import json, platform, runpy, sys, time
from pathlib import Path
import numpy as np

example, folder, labels, sample_rate, seconds = *sys.argv[1:3], *map(int, sys.argv[3:6])
program = runpy.run_path(example)
begin = time.perf_counter()
model = program["load"](Path(folder))
load_s = time.perf_counter() - begin
noise = np.random.RandomState(0).uniform(-0.1, 0.1, seconds * sample_rate).astype("float32")
begin = time.perf_counter()
tokens, scores = program["recognise"](model, noise)
run_s = time.perf_counter() - begin
if not scores or not np.isfinite(scores).all() or max(scores) > 1e-3:
    sys.exit("log_probs are not log-probabilities: none, not finite, or above zero")
if not all(0 <= token < labels for token in tokens):
    sys.exit("it writes tokens that labels.json has not")
program["written"](model[1], tokens)
"""


def run_once(folder: Path, python: str = sys.executable) -> dict[str, Any]:
    """Load and run the model of a bundle on two seconds of noise, one thread.

    Args:
        folder: a bundle, possibly incomplete: only its model, labels and front end are read.
        python: the interpreter, which needs ``onnxruntime`` and ``numpy`` only.

    Returns:
        versions, operating system, CPU, ``load_s`` (seconds) and ``rtf`` (computing time per second
        of audio, first run).

    Raises:
        InputError: the interpreter does not start, or the path of the model is not UTF-8.
        ModelError: the model does not load, crashes, hangs, or does not return log-probabilities
            over the bundle's labels.
    """
    model = folder / MODEL
    require_utf8(model.resolve())
    try:
        labels = Labels.from_json((folder / LABELS).read_bytes())
        settings = Fields(parse_json((folder / FRONTEND).read_bytes(), FRONTEND), FRONTEND)
        rate = settings.whole("sample_rate", limits=Range(1, _HIGHEST_RATE))
        kind = _kind(folder)
        heard = settings.text("kind") if kind in IN_CHUNKS else ""
        if heard and heard not in FRONTENDS:
            raise ValueError(f"{FRONTEND}: no example makes features of the kind {heard!r}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{folder}: labels or front end settings are not readable: {error}"
        ) from error
    program = shutil.which(python)
    if program is None:
        raise InputError(f"cannot run {python}: there is no such program")
    sizes = [*map(str, (len(labels), rate, _SECONDS_OF_SOUND))]
    with TemporaryFolder("example") as apart:
        if kind:
            example = apart / "example.py"
            write_text(example, example_source(LoadMemory(0, 0), kind=kind, frontend=heard))
            given = [_SEVERAL + _REPORT, str(example), str(folder.resolve())]
        else:
            given = [_SCRIPT + _REPORT, str(model.resolve())]
        return _run(program, [*given, *sizes], MODEL)


def open_once(graphs: Sequence[Path]) -> dict[str, Any]:
    """Open graphs that only another program runs, in a process of their own.

    Args:
        graphs: the ``.onnx`` files.

    Returns:
        as :func:`run_once`, without a measured run.

    Raises:
        InputError: a path is not UTF-8.
        ModelError: one does not load.
    """
    for graph in graphs:
        require_utf8(graph.resolve())
    paths = [str(graph.resolve()) for graph in graphs]
    names = ", ".join(graph.name for graph in graphs)
    return _run(sys.executable, [_OPEN + _REPORT, *paths], names)


def _run(python: str, given: list[str], model: str) -> dict[str, Any]:
    """What a script prints last.

    Args:
        given: the script and its arguments.
        model: names what it opens.
    """
    # With -c, Python imports from its working folder, which must not be the bundle.
    with TemporaryFolder("trial") as empty:
        command = [str(Path(python).absolute()), "-c", *given]
        try:
            done = subprocess.run(
                command, cwd=empty, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f"{model} did not finish within {_TIMEOUT_S} s") from None
        except OSError as error:
            raise InputError(f"cannot run {python}: {error.strerror or error}") from error
    if done.returncode != 0:
        raise ModelError(f"{model} does not run under {python}: {_reason(done)}")
    try:
        runtime: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        raise InputError(f"{python} is not a Python interpreter: it did not run a script") from None
    return runtime


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"it was killed by signal {-done.returncode}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else f"exit code {done.returncode}"


def _kind(folder: Path) -> str:
    """Of several graphs; empty for one.

    Raises:
        ValueError: ``decoding.json`` names none that is known, or a file outside the bundle.
    """
    path = folder / DECODING
    if not path.is_file():
        return ""
    decoding = Fields(parse_json(path.read_bytes(), DECODING), DECODING)
    kind = decoding.text("kind")
    if kind not in KINDS:
        raise ValueError(f"{DECODING}: there is no kind {kind!r}")
    for graph in decoding.children("graphs"):
        if reason := why_unsafe(graph.text("file")):
            raise ValueError(f"{DECODING}: {graph.text('file')!r} {reason}")
    return kind

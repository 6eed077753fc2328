"""Run a bundle's examples as its users will, each in a program of its own."""

from __future__ import annotations

import os
import shutil
import sys
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from quantkit.bundles.browser import BrowserError, browser_version, find_browser
from quantkit.bundles.cpp_run import find_compiler, find_kit, run_cpp
from quantkit.bundles.example_files import CPP, NODE, PAGE
from quantkit.bundles.manifest import EXAMPLE, KEPT
from quantkit.bundles.measured_process import Finished, run_measured
from quantkit.bundles.npm_packages import find_package, package_version
from quantkit.bundles.page_run import run_page
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, ModelError

_NOISE_SECONDS = 2
# Other releases of a runtime may lack what a model needs, or its memory.
_LEAVE_OUT = "; without NODE_PATH and --node-modules it is not run"


@dataclass(frozen=True)
class ExampleRun:
    """What came of an example.

    Args:
        file: its path in the bundle.
        runtime: names and versions of what ran it.
        same: whether it wrote what ``example.py`` wrote.
        seconds: from its start to its text.
        peak_bytes: its highest resident memory; 0 where that is not known.
        why_not: why it was not run; then nothing else is known.
    """

    file: str
    runtime: Mapping[str, str] = field(default_factory=dict)
    same: bool = False
    seconds: float = 0.0
    peak_bytes: int = 0
    why_not: str = ""

    def to_manifest(self) -> dict[str, Any]:
        """Without times and memory, which differ from run to run."""
        if self.why_not:
            return {"file": self.file, "run": False, "reason": self.why_not}
        runtime = dict(self.runtime)
        return {"file": self.file, "run": True, "runtime": runtime, "same_text": self.same}


@dataclass(frozen=True)
class ExampleRuns:
    """All examples of a bundle on one clip.

    Args:
        clip: name of the clip; empty: seeded noise of two seconds.
        seconds: its length.
        text: what ``example.py`` wrote.
    """

    runs: tuple[ExampleRun, ...]
    clip: str
    seconds: float
    text: str


def run_examples(
    folder: Path,
    rate: int,
    *,
    python: Mapping[str, str],
    clip: Path | None = None,
    node_modules: Path | None = None,
    onnxruntime: Path | None = None,
) -> ExampleRuns:
    """Run every example of a bundle for which there is a runtime here.

    Args:
        folder: the bundle; it is as it was afterwards.
        rate: of its audio, hertz.
        python: versions of the packages with which ``example.py`` runs here.
        clip: a WAV file of 16 bits; None: noise.
        node_modules: where npm installed ``onnxruntime-node`` and ``onnxruntime-web``; None: the
            folders in ``NODE_PATH``.
        onnxruntime: ONNX Runtime for C++, see :func:`~quantkit.bundles.cpp_run.find_kit`.

    Raises:
        InputError: the clip cannot be read.
        ModelError: an example fails.
    """
    with TemporaryFolder("clip") as apart:
        heard = apart / "noise.wav" if clip is None else clip.absolute()
        if clip is None:
            _write_noise(heard, rate)
        first = _python(folder, heard)
        text = first.output.strip()
        runs = [ExampleRun(EXAMPLE, python, True, first.seconds, first.peak_bytes)]
        if (folder / NODE).is_file():
            runs.append(_node(folder, heard, node_modules, text))
            runs.append(_page(folder, heard, node_modules, text))
        if (folder / CPP).is_file():
            runs.append(_cpp(folder, heard, onnxruntime, text))
        return ExampleRuns(
            tuple(runs), "" if clip is None else clip.name, require_clip(heard, rate), text
        )


def _python(folder: Path, clip: Path) -> Finished:
    try:
        return _finished(
            EXAMPLE, [sys.executable, "-X", "utf8", "-B", str(folder / EXAMPLE), str(clip)]
        )
    finally:
        # What the example keeps for its next start is no part of the bundle.
        for left in folder.glob(f"{KEPT}*"):
            shutil.rmtree(left, ignore_errors=True)


def _node(folder: Path, clip: Path, node_modules: Path | None, text: str) -> ExampleRun:
    node, package = shutil.which("node"), find_package("onnxruntime-node", node_modules)
    if node is None:
        return ExampleRun(NODE, why_not="there was no Node")
    if package is None:
        return ExampleRun(NODE, why_not="there was no onnxruntime-node")
    command = [node, str(folder / NODE), str(clip)]
    environment = {**os.environ, "NODE_PATH": str(package.parent)}
    done = _finished(NODE, command, environment)
    told = run_measured([node, "--version"], folder).output.strip().removeprefix("v")
    versions = {"onnxruntime-node": package_version(package), "node": told}
    return ExampleRun(NODE, versions, done.output.strip() == text, done.seconds, done.peak_bytes)


def _page(folder: Path, clip: Path, node_modules: Path | None, text: str) -> ExampleRun:
    browser, package = find_browser(), find_package("onnxruntime-web", node_modules)
    if browser is None:
        return ExampleRun(PAGE, why_not="there was no Chromium")
    if package is None:
        return ExampleRun(PAGE, why_not="there was no onnxruntime-web")
    try:
        shown = run_page(folder, clip, browser, package)
    except BrowserError as error:
        raise ModelError(f"{PAGE} does not run in {browser}: {error}{_LEAVE_OUT}") from error
    versions = {"onnxruntime-web": package_version(package), "chromium": browser_version(browser)}
    return ExampleRun(PAGE, versions, shown.text == text, shown.seconds, shown.peak_bytes)


def _cpp(folder: Path, clip: Path, onnxruntime: Path | None, text: str) -> ExampleRun:
    compiler = find_compiler()
    kit = None if onnxruntime is None else find_kit(onnxruntime)
    if onnxruntime is not None and kit is None:
        raise InputError(
            f"{onnxruntime} is no ONNX Runtime for C++: it needs include/onnxruntime_cxx_api.h and "
            "lib/libonnxruntime.so"
        )
    if compiler is None:
        return ExampleRun(CPP, why_not="there was no C++ compiler")
    if kit is None:
        return ExampleRun(CPP, why_not="there was no ONNX Runtime for C++")
    with TemporaryFolder("compiled") as apart:
        try:
            done = run_cpp(folder, clip, compiler, kit, apart)
        except OSError as error:
            raise ModelError(f"{CPP} cannot be compiled: {error.strerror or error}") from error
    if done.code != 0:
        raise ModelError(f"{CPP} does not run: {done.reason}; ship without --onnxruntime skips it")
    versions = {"onnxruntime": kit.version}
    return ExampleRun(CPP, versions, done.output.strip() == text, done.seconds, done.peak_bytes)


def _finished(
    file: str, command: list[str], environment: Mapping[str, str] | None = None
) -> Finished:
    with TemporaryFolder("empty") as empty:
        try:
            done = run_measured(command, empty, environment)
        except OSError as error:
            raise ModelError(f"{file} cannot be run: {error.strerror or error}") from error
    if done.code != 0:
        skip = _LEAVE_OUT if file == NODE else ""
        raise ModelError(f"{file} does not run: {done.reason}{skip}")
    return done


def _write_noise(path: Path, rate: int) -> None:
    samples = np.random.RandomState(0).uniform(-3_000, 3_000, _NOISE_SECONDS * rate)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate)
        stream.writeframes(samples.astype("<i2").tobytes())


def require_clip(path: Path, rate: int) -> float:
    """Seconds of a WAV file that all examples can read.

    Raises:
        InputError: it is no WAV file of 16 bits, or of another rate.
    """
    try:
        with path.open("rb") as file, wave.open(file) as stream:
            width, found = stream.getsampwidth(), stream.getframerate()
            seconds: float = stream.getnframes() / max(1, found)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, wave.Error) as error:
        raise InputError(f"{path} is no WAV file of 16 bits: {error}") from error
    if width != 2:
        raise InputError(f"{path} is no WAV file of 16 bits, but of {8 * width}")
    if found != rate:
        raise InputError(f"{path} has {found} Hz, and the model needs {rate}")
    return seconds

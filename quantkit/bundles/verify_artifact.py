"""Verify a single ``.onnx`` artifact: compare its checksum, then run it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from quantkit.errors import ModelError, VerificationError
from quantkit.graph.artifact import model_files, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.integrity import stored_checksum
from quantkit.runtime.errors import runtime_errors
from quantkit.runtime.hosts import Hosts, hosts_of
from quantkit.runtime.session import create_session
from quantkit.runtime.speech_model import SpeechModel
from quantkit.tasks.catalogue import task_of
from quantkit.tasks.open import open_speech_model

# Of an axis of any length behind the batch, by the rank of the input: samples, or frames.
_FREE_SIZES = {2: 16_000, 3: 100}


@dataclass(frozen=True)
class ArtifactVerification:
    """Result of a verification.

    Args:
        checksum: the SHA-256 stored in the file, if its content matches; empty if they differ.
        problem: why verification failed, in one line; empty on success.
        runtime: the version of ``onnxruntime`` that it runs in, ``load_s`` (seconds), and ``rtf``
            (computing time per second of audio, first run), None for a model that is not a
            recogniser and was only loaded. None if the check failed.
        hosts: on which processors its integer sums are exact; None likewise.
    """

    checksum: str
    problem: str = ""
    runtime: dict[str, Any] | None = None
    hosts: Hosts | None = None

    def require(self) -> None:
        """Raise if the artifact is damaged or does not run.

        Raises:
            VerificationError: what is wrong, in one line.
        """
        if self.problem:
            raise VerificationError(self.problem)


def verify_artifact(path: Path) -> ArtifactVerification:
    """Compare an artifact with its checksum, load it, and run it on a second of noise.

    ::

        verify_artifact(Path("int8.onnx")).require()

    Raises:
        ModelError: the file cannot be read, or is a model that quantkit did not write, which has
            no checksum.
    """
    try:
        checksum = stored_checksum(path)
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        info = read_info(path)
    except ModelError as error:
        return ArtifactVerification("", str(error))
    if not checksum:
        raise ModelError(f"{path} has no checksum to compare with: quantkit did not write it")
    try:
        _require_runtime(path, info)
        return ArtifactVerification(checksum, runtime=_try(path, info), hosts=hosts_of(path))
    except ModelError as error:
        return ArtifactVerification(checksum, str(error))


def _require_runtime(path: Path, info: ArtifactInfo) -> None:
    wanted = str((info.plan or {}).get("target_runtime", ""))
    if _version(wanted) > _version(onnxruntime.__version__):
        raise ModelError(
            f"{path} is made for onnxruntime >= {wanted}, and this is {onnxruntime.__version__}"
        )


def _version(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)[:3]]


def _try(path: Path, info: ArtifactInfo) -> dict[str, Any]:
    """Load the model, and run it if its metadata describes its inputs."""
    begin = time.perf_counter()
    if not task_of(info).can_run(info):
        sessions = [create_session(file) for file in model_files(path)]
        rtf = None
        load_s = time.perf_counter() - begin
        _require_numbers(path, sessions[0])
    else:
        model = open_speech_model(path, check=False)
        load_s = time.perf_counter() - begin
        rtf = _run_on_noise(path, model)
    return {"onnxruntime": onnxruntime.__version__, "load_s": round(load_s, 3), "rtf": rtf}


def _require_numbers(path: Path, session: onnxruntime.InferenceSession) -> None:
    """Run a model whose metadata do not tell what it takes on noise of the shapes that it declares.

    Nothing is said of one that does not run on that.

    Raises:
        ModelError: not a single number of an output is finite.
    """
    random = np.random.default_rng(0)
    feed = {}
    for value in session.get_inputs():
        free = iter((1, _FREE_SIZES.get(len(value.shape), 1)))
        shape = [size if isinstance(size, int) else next(free, 1) for size in value.shape]
        if "float" in value.type or "double" in value.type:
            element = {"tensor(float16)": np.float16, "tensor(double)": np.float64}
            noise = random.uniform(-0.1, 0.1, shape)
            feed[value.name] = noise.astype(element.get(value.type, np.float32))
        else:
            feed[value.name] = np.full(shape, _FREE_SIZES[3], np.int64)
    try:
        with runtime_errors(str(path)):
            found = session.run(None, feed)
    except ModelError:
        return
    for value, output in zip(session.get_outputs(), found, strict=True):
        numbers = np.asarray(output)
        if numbers.dtype.kind == "f" and numbers.size and not np.isfinite(numbers).any():
            raise ModelError(f"{path} returns no finite number for noise, in {value.name}")


def _run_on_noise(path: Path, model: SpeechModel) -> float:
    """Seconds to recognise a second of noise."""
    samples = model.frontend.sample_rate
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, samples).astype(np.float32)
    begin = time.perf_counter()
    (output,) = model.outputs([model.features(noise)])
    seconds = time.perf_counter() - begin
    if problem := model.problem_of(output):
        raise ModelError(f"{path} returns {problem} for a second of noise")
    try:
        model.text_of(output)
    except (TypeError, ValueError, LookupError) as error:
        raise ModelError(f"{path} makes no text of a second of noise: {error}") from error
    return round(seconds, 4)

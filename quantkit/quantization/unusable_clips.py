"""Leave out clips that the float model makes nothing of, and go on with the others.

Such a clip is only met while the model runs: one on which it gives NaN, as a model that divides by
the deviation of silence does, or one on which it fails. Looking for them beforehand would cost a
run of every clip, so they are looked for when the first one is met.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnxruntime

from quantkit.calibration.data import CalibrationData
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import ModelError, UnusableClipError
from quantkit.graph.external_data import with_external_data
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.session import open_session, session_options
from quantkit.tasks.posteriors import session_posteriors

T = TypeVar("T")


def leaving_out(prepared: PreparedModel, feeds: CalibrationData | None, work: Callable[[], T]) -> T:
    """What ``work`` returns; where it meets clips that cannot be used, it is done without them.

    Args:
        feeds: the clips that ``work`` goes through; those that cannot be used are left out of it,
            and of its ``skipped``.

    Raises:
        ModelError: no clip is left.
    """
    while True:
        try:
            return work()
        except UnusableClipError as error:
            if feeds is None:
                raise
            clips = feeds.clips
            reasons = {error.clip: str(error)} | _unusable(prepared, feeds)
            if not feeds.leave_out(reasons):
                raise
            if not feeds.clips:
                raise ModelError(f"none of {clips} clips is usable; the first: {error}") from error


def float_session(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    """A session whose weights stay in a file, which takes a third of the memory of a plain one.

    Args:
        folder: for that file; as long as the session is used.
    """
    path = folder / "float32.onnx"
    path.write_bytes(with_external_data(model, folder / "weights").SerializeToString())
    return open_session(path, session_options(threads=0, prepack=False))


def _unusable(prepared: PreparedModel, feeds: CalibrationData) -> dict[str, str]:
    """The clips on which the model fails or gives NaN, and why they are left out."""
    found: dict[str, str] = {}
    with TemporaryFolder("unusable") as folder:
        output = posterior_output(prepared.original)
        session = float_session(prepared.original, folder)
        for clip, inputs in feeds:
            try:
                one = session_posteriors(session, prepared.source, output, [(clip, inputs)])
                values = next(one)[1]
            except ModelError as error:
                found[clip] = str(error)
                continue
            if np.isnan(values).any():
                found[clip] = f"{clip}: the model gives NaN for it"
    return found

"""The posteriors of a session for some feeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import onnxruntime

from quantkit.arrays import Array
from quantkit.runtime.errors import runtime_errors
from quantkit.tasks.inputs import Feed


def session_posteriors(
    session: onnxruntime.InferenceSession, path: Path, output: str, feeds: Iterable[Feed]
) -> Iterator[tuple[str, Array]]:
    """Name of each clip, and the output called ``output`` for it.

    Args:
        path: of the model, for messages.

    Raises:
        ModelError: ONNX Runtime fails on a clip.
    """
    for clip, inputs in feeds:
        with runtime_errors(f"{path} cannot be compared on clip {clip}"):
            (found,) = session.run([output], dict(inputs))
        yield clip, found

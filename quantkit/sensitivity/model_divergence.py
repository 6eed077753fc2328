"""How far the posteriors of one finished file are from those of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantkit.errors import CorpusError, ModelError
from quantkit.graph.artifact import load_model
from quantkit.quantize.feeds import Feeds
from quantkit.runtime.session import create_session
from quantkit.sensitivity.posteriors import (
    Scale,
    divergence,
    log_posteriors,
    posterior_output,
    scale_of,
)


def model_divergence(source: Path, other: Path, feeds: Feeds, *, threads: int = 0) -> float:
    """Mean divergence per frame, in nats, of ``other``'s posteriors from those of ``source``.

    Every frame counts the same. Both files are run as they are, so that nothing is left out: the
    packed weights, the integer kernels, the rounding of every activation.

    Args:
        source: the float32 model.
        other: one with the same inputs and outputs.
        threads: of ONNX Runtime; 0 lets it take all cores.

    Raises:
        ModelError: a model fails on a clip, their outputs differ in shape, or are NaN.
        CorpusError: there is no clip.
    """
    output = posterior_output(load_model(source, check=False))
    sessions = [create_session(path, threads=threads) for path in (source, other)]
    scale: Scale | None = None
    total, frames = 0.0, 0
    for clip, inputs in feeds:
        try:
            before, after = (session.run([output], dict(inputs))[0] for session in sessions)
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{other} cannot be compared on clip {clip}: {reason}") from error
        if scale is None:
            scale = scale_of(before)
        reference = log_posteriors(before, scale, clip)
        moved = log_posteriors(after, scale, clip)
        if moved.shape != reference.shape:
            raise ModelError(
                f"{other} gives {moved.shape} on clip {clip} where {source} gives "
                f"{reference.shape}: they are not the same model"
            )
        total += divergence(reference, moved, np.ones(len(reference), np.float32))
        frames += len(reference)
    if not frames:
        raise CorpusError("there is no clip to compare the models on")
    return max(0.0, total / frames)

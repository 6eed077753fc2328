"""How far the posteriors of one finished file are from those of another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from quantkit.errors import CorpusError, ModelError
from quantkit.graph.artifact import load_model
from quantkit.quantize.feeds import Feeds
from quantkit.runtime.session import create_session
from quantkit.sensitivity.clip_store import ClipStore
from quantkit.sensitivity.posteriors import Weighting, posterior_output
from quantkit.sensitivity.reference import Reference

# Bytes of posteriors to keep; what is beyond lies on disk meanwhile.
_MEMORY = 64_000_000


def model_divergence(
    source: Path,
    other: Path,
    feeds: Feeds,
    *,
    weighting: Weighting = "uniform",
    threads: int = 0,
) -> float:
    """Mean divergence per frame, in nats, of ``other``'s posteriors from those of ``source``.

    Both files are run as they are, so that nothing is left out: the packed weights, the integer
    kernels, the rounding of every activation.

    Args:
        source: the float32 model.
        other: one with the same inputs and outputs.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.
        threads: of ONNX Runtime; 0 lets it take all cores.

    Raises:
        ModelError: a model fails on a clip, their outputs differ in shape, or are NaN.
        CorpusError: there is no clip.
    """
    output = posterior_output(load_model(source, check=False))
    with tempfile.TemporaryDirectory(prefix="quantkit-compare-") as folder:
        clips, store = [], ClipStore(Path(folder), _MEMORY)
        for clip, values in _outputs(source, output, feeds, threads):
            clips.append(clip)
            store.append({output: values})
        if not clips:
            raise CorpusError("there is no clip to compare the models on")
        before = (store[index][output] for index in range(len(store)))
        reference = Reference(clips, before, weighting, Path(folder), _MEMORY)
        sums = []
        for index, (clip, values) in enumerate(_outputs(other, output, feeds, threads)):
            expected = reference[index].shape
            found = (values.size // max(values.shape[-1], 1), values.shape[-1])
            if found != expected:
                raise ModelError(
                    f"{other} gives {found} frames and labels on clip {clip} where {source} gives "
                    f"{expected}: they are not the same model"
                )
            sums.append(reference.divergence(index, values))
        return reference.mean(sums)


def _outputs(
    path: Path, output: str, feeds: Feeds, threads: int
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name and posteriors of each clip."""
    session = create_session(path, threads=threads)
    for clip, inputs in feeds:
        try:
            yield clip, session.run([output], dict(inputs))[0]
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{path} cannot be compared on clip {clip}: {reason}") from error

"""How far the posteriors of one finished file are from those of another."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import onnxruntime

from quantkit.calibration.clip_store import ClipStore
from quantkit.calibration.feeds import Feeds
from quantkit.errors import CorpusError, ModelError
from quantkit.graph.artifact import model_files
from quantkit.graph.external_data import with_external_data
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.output_scale import posterior_output
from quantkit.runtime.session import create_session, open_session, session_options
from quantkit.runtime.whisper.network import WhisperNetwork
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.posteriors import Weighting
from quantkit.sensitivity.reference import Reference

# Bytes of posteriors to keep; what is beyond lies on disk meanwhile.
_MEMORY = 64_000_000


def model_divergence(
    source: Path | PreparedModel,
    other: Path,
    feeds: Feeds,
    *,
    weighting: Weighting = "uniform",
) -> Estimate:
    """Mean divergence per frame, in nats, of ``other``'s posteriors from those of ``source``.

    Both files are run as they are, so that nothing is left out: the packed weights, the integer
    kernels, the rounding of every activation. The decoder of a Whisper reads its text token by
    token, as it does when it writes: given at once, the tokens would share a grid.

    Args:
        source: the float32 model, or its path.
        other: one with the same inputs and outputs.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.

    Raises:
        ModelError: a model fails on a clip, their outputs differ in shape, or are NaN.
        CorpusError: there is no clip.
    """
    prepared = PreparedModel.of(source)
    output = posterior_output(prepared.original)
    with tempfile.TemporaryDirectory(prefix="quantkit-compare-") as folder:
        clips, store = [], ClipStore(Path(folder), _MEMORY)
        session = _mapped(prepared.original, Path(folder))
        for clip, values in _outputs(session, prepared.source, output, feeds):
            clips.append(clip)
            store.append({output: values})
        if not clips:
            raise CorpusError("there is no clip to compare the models on")
        # Memory for the other one; what a session returned keeps its arena alive, too.
        del session, values
        malloc_trim()
        before = (store[index][output] for index in range(len(store)))
        reference = Reference(clips, before, weighting, Path(folder), _MEMORY)
        sums = []
        for index, (clip, values) in enumerate(_outputs_in_use(other, output, feeds)):
            expected = reference[index].shape
            found = (values.size // max(values.shape[-1], 1), values.shape[-1])
            if found != expected:
                raise ModelError(
                    f"{other} gives {found} frames and labels on clip {clip} where "
                    f"{prepared.source} gives {expected}: they are not the same model"
                )
            sums.append(reference.divergence(index, values))
        return reference.estimate(sums)


def _outputs_in_use(
    path: Path, output: str, feeds: Feeds
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name and posteriors of each clip."""
    files = model_files(path)
    if len(files) == 1:
        session = create_session(path, threads=0)
        yield from _outputs(session, path, output, feeds)
        return
    encoder, decoder = files
    network = WhisperNetwork.load(encoder, decoder, threads=0)
    for clip, inputs in feeds:
        yield clip, network.read(inputs["features"], inputs["tokens"], inputs["positions"])


def _mapped(model: onnx.ModelProto, folder: Path) -> onnxruntime.InferenceSession:
    """A session whose weights stay in a file, which takes a third of the memory of a plain one."""
    path = folder / "float32.onnx"
    path.write_bytes(with_external_data(model, folder / "weights").SerializeToString())
    return open_session(path, session_options(threads=0, prepack=False))


def _outputs(
    session: onnxruntime.InferenceSession, path: Path, output: str, feeds: Feeds
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Name and posteriors of each clip; ``path`` is for messages."""
    for clip, inputs in feeds:
        try:
            yield clip, session.run([output], dict(inputs))[0]
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"{path} cannot be compared on clip {clip}: {reason}") from error

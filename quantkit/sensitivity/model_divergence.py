"""How far the posteriors of one finished file are from those of another."""

from __future__ import annotations

from pathlib import Path

from quantkit.calibration.clip_store import ClipStore
from quantkit.calibration.data import CalibrationData
from quantkit.errors import CorpusError, ModelError
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.unusable_clips import float_session, leaving_out
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.output_scale import posterior_output
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.posteriors import Weighting
from quantkit.sensitivity.reference import Reference
from quantkit.tasks.posteriors import session_posteriors
from quantkit.temporary import TemporaryFolder

# Bytes of posteriors to keep; what is beyond lies on disk meanwhile.
_MEMORY = 64_000_000


def model_divergence(
    source: Path | PreparedModel,
    other: Path,
    feeds: CalibrationData,
    *,
    weighting: Weighting = "uniform",
) -> Estimate:
    """Mean divergence per frame, in nats, of ``other``'s posteriors from those of ``source``.

    Both files are run as they are, so that nothing is left out: the packed weights, the integer
    kernels, the rounding of every activation; and ``other`` as it is used, such as token by token.

    Args:
        source: the float32 model, or its path.
        other: one with the same inputs and outputs.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.

    Raises:
        ModelError: a model fails on a clip, their outputs differ in shape, or are NaN.
        CorpusError: there is no clip.
    """
    prepared = PreparedModel.of(source)
    return leaving_out(prepared, feeds, lambda: _divergence(prepared, other, feeds, weighting))


def _divergence(
    prepared: PreparedModel, other: Path, feeds: CalibrationData, weighting: Weighting
) -> Estimate:
    output = posterior_output(prepared.original)
    with TemporaryFolder("compare") as folder:
        clips, store = [], ClipStore(folder, _MEMORY)
        session = float_session(prepared.original, folder)
        for clip, values in session_posteriors(session, prepared.source, output, feeds):
            clips.append(clip)
            store.append({output: values})
        if not clips:
            raise CorpusError("there is no clip to compare the models on")
        # Memory for the other one; what a session returned keeps its arena alive, too.
        del session, values
        malloc_trim()
        before = (store[index][output] for index in range(len(store)))
        reference = Reference(clips, before, weighting, folder, _MEMORY)
        sums = []
        for index, (clip, values) in enumerate(feeds.task.posteriors(other, output, feeds)):
            expected = reference[index].shape
            found = (values.size // max(values.shape[-1], 1), values.shape[-1])
            if found != expected:
                raise ModelError(
                    f"{other} gives {found} frames and labels on clip {clip} where "
                    f"{prepared.source} gives {expected}: they are not the same model"
                )
            sums.append(reference.divergence(index, values))
        return reference.estimate(sums)

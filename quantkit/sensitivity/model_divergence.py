"""How far the posteriors and the texts of one finished file are from those of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantkit.calibration.clip_store import ClipStore
from quantkit.calibration.data import CalibrationData
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import CorpusError, ModelError
from quantkit.quantization.prepared import PreparedModel
from quantkit.quantization.unusable_clips import float_session, leaving_out
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.output_scale import posterior_output
from quantkit.sensitivity.estimate import Estimate
from quantkit.sensitivity.posteriors import Weighting
from quantkit.sensitivity.reference import Reference
from quantkit.tasks.posteriors import session_posteriors
from quantkit.text.changes import TextChanges, TextPair, text_changes

# Bytes of posteriors to keep; what is beyond lies on disk meanwhile.
_MEMORY = 64_000_000


@dataclass(frozen=True)
class ClipComparison:
    """How far one file is from another on one clip.

    Args:
        clip: its name.
        nats: that the posteriors differ by, over all frames, tokens, or the clip.
        frames: these.
        texts: of both; None where the metadata do not tell what outputs mean.
    """

    clip: str
    nats: float
    frames: int
    texts: TextPair | None = None

    @property
    def divergence(self) -> float:
        """Per frame, token or clip."""
        return self.nats / self.frames if self.frames else 0.0


@dataclass(frozen=True)
class Comparison:
    """How far one finished file is from another.

    Args:
        divergence: of the posteriors, per frame, token or clip, in nats.
        changes: of the texts; None where the metadata do not tell what outputs mean.
        clips: each of them, in order.
    """

    divergence: Estimate
    changes: TextChanges | None = None
    clips: tuple[ClipComparison, ...] = ()


def model_divergence(
    source: Path | PreparedModel,
    other: Path,
    feeds: CalibrationData,
    *,
    weighting: Weighting = "uniform",
) -> Estimate:
    """The divergence alone of :func:`compare_models`."""
    return compare_models(source, other, feeds, weighting=weighting).divergence


def compare_models(
    source: Path | PreparedModel,
    other: Path,
    feeds: CalibrationData,
    *,
    weighting: Weighting = "uniform",
) -> Comparison:
    """How far the posteriors and the texts of ``other`` are from those of ``source``.

    Both files are run as they are, so that nothing is left out: the packed weights, the integer
    kernels, the rounding of every activation; and ``other`` as it is used, such as token by token.
    Texts are read from the same posteriors, greedily.

    Args:
        source: the float32 model, or its path.
        other: one with the same inputs and outputs.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.

    Raises:
        ModelError: a model fails on a clip, their outputs differ in shape, or are NaN.
        CorpusError: there is no clip.
    """
    prepared = PreparedModel.of(source)
    return leaving_out(prepared, feeds, lambda: _compared(prepared, other, feeds, weighting))


def _compared(
    prepared: PreparedModel, other: Path, feeds: CalibrationData, weighting: Weighting
) -> Comparison:
    output = posterior_output(prepared.original)
    task, info = feeds.task, feeds.info
    with TemporaryFolder("compare") as folder:
        clips, texts, store = [], [], ClipStore(folder, _MEMORY)
        session = float_session(prepared.original, folder)
        for feed in feeds:
            ((clip, values),) = session_posteriors(session, prepared.source, output, [feed])
            clips.append(clip)
            texts.append(task.text_of(info, values, feed[1]))
            store.append({output: values})
        if not clips:
            raise CorpusError("there is no clip to compare the models on")
        # Memory for the other one; what a session returned keeps its arena alive, too.
        del session, values, feed
        malloc_trim()
        before = (store[index][output] for index in range(len(store)))
        reference = Reference(clips, before, weighting, folder, _MEMORY)
        found_on: list[ClipComparison] = []
        for index, answer in enumerate(task.answers(other, output, feeds, info)):
            values = answer.posteriors
            expected = reference.shape_of(index)
            found = (values.size // max(values.shape[-1], 1), values.shape[-1])
            if found != expected:
                raise ModelError(
                    f"{other} gives {found} frames and labels on clip {answer.clip} where "
                    f"{prepared.source} gives {expected}: they are not the same model"
                )
            said = texts[index]
            known = said is not None and answer.text is not None
            found_on.append(
                ClipComparison(
                    answer.clip,
                    reference.divergence(index, values),
                    reference.frames_of(index),
                    TextPair(answer.clip, said or "", answer.text or "") if known else None,
                )
            )
        pairs = [each.texts for each in found_on if each.texts is not None]
        return Comparison(
            reference.estimate(each.nats for each in found_on),
            _changes(pairs, feeds),
            tuple(found_on),
        )


def _changes(pairs: Sequence[TextPair], feeds: CalibrationData) -> TextChanges | None:
    scoring = feeds.task.scoring(feeds.info)
    if scoring is None or not pairs:
        return None
    silent = [pair.clip for pair in pairs if feeds.task.says_nothing(pair.before)]
    return text_changes(pairs, scoring, silent)

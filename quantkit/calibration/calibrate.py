"""Static activation ranges, found by running calibration clips one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from quantkit.audio.decode import read_audio
from quantkit.audio.features import iter_features
from quantkit.audio.utterance import Corpus
from quantkit.calibration.clip_runner import ClipRunner, Feed
from quantkit.errors import AudioError, CorpusError, InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.tensors import raw_size
from quantkit.runtime.padding import MIN_FRAMES

__all__ = ["Feed", "Progress", "Tracker", "Watched", "calibrate", "corpus_feeds", "require_finite"]


#: Is told the clip at hand, and which share of the work on it is done now: they add up to 1.
Progress = Callable[[str, float], None]

# Weights of a part of the model that is run at a time.
_STAGE_BYTES = 16_000_000


class Tracker(Protocol):
    """Sees the values of one tensor clip by clip."""

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in the finite values of one clip."""


@dataclass(frozen=True)
class Watched:
    """One tensor that is followed.

    Args:
        layer: what messages name it by.
        trackers: see its values.
    """

    layer: str
    trackers: tuple[Tracker, ...]


def calibrate(
    model: onnx.ModelProto,
    watched: Mapping[str, Watched],
    feeds: Iterable[Feed],
    *,
    progress: Progress | None = None,
) -> None:
    """Run every clip alone and at its true length, and follow the values of some tensors.

    Memory holds the activations of one clip, of a large model those of a part of it, and one small
    tracker per tensor, however many clips there are; see
    :meth:`~quantkit.calibration.clip_runner.ClipRunner.run_in_stages`. ONNX Runtime's own
    calibrators keep them all, and their histograms fail on clips of different lengths.

    Args:
        model: float32; is not changed.
        watched: the tensors to follow by name; their trackers hold the result.
        feeds: clips with their inputs; see :func:`corpus_feeds`.
        progress: see :data:`Progress`.

    Raises:
        CorpusError: ``feeds`` is empty.
        ModelError: the model fails on a clip, or a layer's activations are not finite there.
    """
    with ClipRunner(model) as runner:
        for stage in runner.run_in_stages(list(watched), feeds, _stages(model)):
            for name in list(stage.values):
                values, each = stage.values.pop(name), watched[name]
                require_finite(values, each.layer, stage.clip)
                for tracker in each.trackers:
                    tracker.update(values)
            if progress is not None:
                progress(stage.clip, stage.share)


def _stages(model: onnx.ModelProto) -> int:
    """A large model has large activations: it is run a part at a time."""
    weights = sum(raw_size(tensor) for tensor in model.graph.initializer)
    return 1 + weights // _STAGE_BYTES


def require_finite(values: npt.NDArray[Any], layer: str, clip: str) -> None:
    """Refuse values of a layer that nothing can be learned from.

    Raises:
        ModelError: one of them is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise ModelError(
            f"layer {layer}: its activations are NaN or infinite on clip {clip}; exclude the "
            "layer, or check the model"
        )


def corpus_feeds(
    corpus: Corpus, info: ArtifactInfo, skipped: list[str] | None = None
) -> Iterator[Feed]:
    """What the model takes for each usable clip of ``corpus``, one clip at a time.

    Args:
        corpus: audio, or ready-made features for models without a fused front end.
        info: metadata of the model, with its front end.
        skipped: a list that receives why a clip was left out.

    Raises:
        ModelError: the model carries no front end.
        CorpusError: at the end, when not a single clip was usable.
    """
    if info.frontend is None:
        raise ModelError(
            "the model carries no front end (metadata `quantkit.frontend`), so audio cannot be "
            "fed to it; make it with `quantkit export`"
        )
    reasons = [] if skipped is None else skipped
    usable = False
    clips = (
        _waveforms(corpus, info.frontend.sample_rate, info.frontend.window, reasons)
        if info.fused
        else ((u.identifier, f) for u, f in iter_features(corpus, info.frontend, reasons))
    )
    name = "waveform" if info.fused else "features"
    for clip, values in clips:
        if len(values) < MIN_FRAMES:
            reasons.append(f"{clip}: {len(values)} frame is too short for the model")
            continue
        usable = True
        yield clip, {name: values[None], "lengths": np.array([len(values)], np.int64)}
    if not usable:
        first = f"; the first: {reasons[0]}" if reasons else ""
        raise CorpusError(f"{corpus.name}: none of {len(corpus)} clips is usable{first}")


def _waveforms(
    corpus: Corpus, sample_rate: int, window: int, skipped: list[str]
) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    for utterance in corpus:
        if utterance.path is None:
            raise InputError(
                f"{utterance.identifier}: has features only, but the model takes waveforms"
            )
        try:
            waveform = read_audio(utterance.path, sample_rate)
        except AudioError as error:
            skipped.append(str(error))
            continue
        if waveform.size < window:
            skipped.append(f"{utterance.path}: shorter than one window of the front end")
            continue
        yield utterance.identifier, waveform

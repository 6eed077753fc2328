"""Static activation ranges, found by running calibration clips one after the other."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from quantkit.audio.decode import read_audio
from quantkit.audio.features import iter_features
from quantkit.audio.utterance import Corpus
from quantkit.errors import AudioError, CorpusError, InputError, ModelError
from quantkit.graph.artifact import ArtifactInfo, save_model
from quantkit.runtime.recognizer import MIN_FRAMES
from quantkit.runtime.session import create_session

#: Name of a clip, and the model inputs for it as a batch of one.
Feed = tuple[str, Mapping[str, npt.NDArray[Any]]]


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
    progress: Callable[[str], None] | None = None,
) -> None:
    """Run every clip alone and at its true length, and follow the values of some tensors.

    Memory holds the activations of one clip at a time and one small tracker per tensor, however
    many clips there are. ONNX Runtime's own calibrators keep them all, and their histograms fail
    on clips of different lengths.

    Args:
        model: float32; is not changed.
        watched: the tensors to follow by name; their trackers hold the result.
        feeds: clips with their inputs; see :func:`corpus_feeds`.
        progress: is called with the name of each clip that is done.

    Raises:
        CorpusError: ``feeds`` is empty.
        ModelError: the model fails on a clip, or a layer's activations are not finite there.
    """
    inputs = {value.name for value in model.graph.input}
    computed = [name for name in watched if name not in inputs]
    observed = onnx.ModelProto()
    observed.CopyFrom(model)
    # Without metadata of ours, no checksum is computed for a file that nobody keeps.
    del observed.metadata_props[:]
    present = {value.name for value in observed.graph.output}
    for name in computed:
        if name not in present:
            observed.graph.output.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
            )
    clips = 0
    with tempfile.TemporaryDirectory(prefix="quantkit-calibrate-") as folder:
        path = Path(folder) / "observed.onnx"
        save_model(observed, path)
        del observed
        session = create_session(path)
        for clip, feed in feeds:
            try:
                values = session.run(computed, dict(feed)) if computed else []
            # ONNX Runtime's exceptions share no base class but Exception.
            except Exception as error:
                reason = " ".join(str(error).split())
                raise ModelError(f"the model fails on calibration clip {clip}: {reason}") from error
            seen = dict(zip(computed, values, strict=True))
            for name, each in watched.items():
                value = seen[name] if name in seen else feed[name]
                if not np.isfinite(value).all():
                    raise ModelError(
                        f"layer {each.layer}: its activations are NaN or infinite on clip {clip}; "
                        "exclude the layer, or check the model"
                    )
                for tracker in each.trackers:
                    tracker.update(value)
            clips += 1
            if progress is not None:
                progress(clip)
    if not clips:
        raise CorpusError("calibration needs at least one clip, and there is none")


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

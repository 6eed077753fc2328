"""Utterances → features, the input of a model without a fused front end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.decode import read_audio
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.samples import resampled
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError

#: Is shown a clip and its waveform before features are made of it; an
#: :class:`~quantkit.errors.AudioError` leaves the clip out.
Check = Callable[[Utterance, FloatArray], None]


def no_check(_utterance: Utterance, _waveform: FloatArray) -> None:
    """Every clip is taken."""


def load_waveform(utterance: Utterance, sample_rate: int) -> FloatArray:
    """(samples,) float32 of one utterance at ``sample_rate`` hertz, from its file or from memory.

    Raises:
        AudioError: the clip cannot be read, or it has ready-made features only.
    """
    if utterance.waveform is not None:
        return resampled(utterance.waveform, utterance.sample_rate, sample_rate)
    if utterance.path is None:
        raise AudioError(f"{utterance.identifier}: has features only, and a waveform is needed")
    return read_audio(utterance.path, sample_rate)


def load_features(
    utterance: Utterance, frontend: AnyFrontend, check: Check = no_check
) -> FloatArray:
    """(frames, bands) float32 of one utterance.

    Precomputed features (NumPy corpora) are returned unchanged. Audio is decoded at the front end's
    rate and passed through it.

    Args:
        check: is shown the waveform, where there is one.

    Raises:
        AudioError: the clip cannot be read, is shorter than one window, or precomputed features
            have another number of bands or are not finite; or what ``check`` raises.
    """
    if utterance.features is not None:
        bands = getattr(frontend, "mel_bands", 0)
        if not bands:
            raise AudioError(f"{utterance.identifier} has features, but the model takes waveforms")
        return _checked_features(utterance.features, utterance.identifier, bands)
    if utterance.path is None and utterance.waveform is None:
        raise AudioError(f"{utterance.identifier} has neither an audio file nor features")
    waveform = load_waveform(utterance, frontend.sample_rate)
    try:
        check(utterance, waveform)
        return frontend(waveform)
    except AudioError as error:
        raise AudioError(f"{utterance.path or utterance.identifier}: {error}") from error


def iter_features(
    corpus: Corpus,
    frontend: AnyFrontend,
    skipped: list[str] | None = None,
    check: Check = no_check,
) -> Iterator[tuple[Utterance, FloatArray]]:
    """Yield every usable utterance with its features, one at a time, in corpus order.

    Args:
        corpus: of audio or of precomputed features.
        frontend: computes the features.
        skipped: a list that receives ``path: reason`` for each clip that was skipped.
        check: see :func:`load_features`.

    Raises:
        CorpusError: at the end, if no clip was usable.
    """
    reasons = [] if skipped is None else skipped
    usable = False
    for utterance in corpus:
        try:
            features = load_features(utterance, frontend, check)
        except AudioError as error:
            reasons.append(str(error))
            continue
        usable = True
        yield utterance, features
    if not usable:
        raise corpus.none_usable(reasons)


def _checked_features(features: FloatArray, name: str, bands: int) -> FloatArray:
    if features.ndim != 2 or features.shape[1] != bands:
        raise AudioError(
            f"{name}: features have shape {features.shape}; the front end needs (frames, {bands})"
        )
    if features.shape[0] == 0:
        raise AudioError(f"{name}: features have no frame")
    if not np.isfinite(features).all():
        raise AudioError(f"{name}: features are not finite (NaN or infinity)")
    return features

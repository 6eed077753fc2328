"""Utterances → features, the input of a model without a fused front end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.decode import audio_blocks, read_audio
from quantkit.audio.frontends import AnyFrontend, features_of_blocks
from quantkit.audio.samples import resampled
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.audio.windows import LONGEST_SECONDS, WINDOW_SECONDS, pieces, whole_or_blocks
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
    if utterance.alteration is not None:
        plain = load_waveform(replace(utterance, alteration=None), sample_rate)
        return utterance.alteration(plain, sample_rate, utterance.identifier)
    if utterance.waveform is not None:
        return resampled(utterance.waveform, utterance.sample_rate, sample_rate)
    if utterance.source is None:
        raise AudioError(f"{utterance.identifier}: has features only, and a waveform is needed")
    return read_audio(
        utterance.source,
        sample_rate,
        excerpt=utterance.excerpt,
        complete=utterance.needs_its_end,
    )


def waveform_blocks(utterance: Utterance, sample_rate: int) -> Iterator[FloatArray]:
    """As :func:`load_waveform`, in blocks of (samples,).

    What a clip is altered by looks at all of it, so that it is one block then.

    Raises:
        AudioError: as :func:`load_waveform`, where the fault is reached.
    """
    whole = utterance.waveform is not None or utterance.alteration is not None
    if whole or utterance.source is None:
        yield load_waveform(utterance, sample_rate)
    else:
        yield from audio_blocks(
            utterance.source,
            sample_rate,
            excerpt=utterance.excerpt,
            complete=utterance.needs_its_end,
        )


def waveform_windows(
    utterance: Utterance,
    sample_rate: int,
    longest: float = LONGEST_SECONDS,
    window: float = WINDOW_SECONDS,
) -> Iterator[tuple[str, FloatArray]]:
    """Name and samples of a clip; of a long one those of each piece.

    A long clip is decoded twice: no piece of a clip that turns out to be damaged is used.

    Args:
        longest: seconds of a clip that stays whole.
        window: seconds of a piece of a longer one.

    Raises:
        AudioError: as :func:`load_waveform`, before the first piece.
    """
    most, size = round(longest * sample_rate), round(window * sample_rate)
    first: list[FloatArray] = []
    count = 0
    for block in waveform_blocks(utterance, sample_rate):
        count += len(block)
        if count <= most:
            first.append(block)
        else:
            first.clear()
    if count <= most:
        yield utterance.identifier, first[0] if len(first) == 1 else np.concatenate(first)
        return
    start = 0
    for piece in pieces(waveform_blocks(utterance, sample_rate), most, size):
        yield _piece_name(utterance, start / sample_rate), piece
        start += len(piece)


def checked_windows(
    utterance: Utterance,
    sample_rate: int,
    check: Check,
    skipped: list[str],
    longest: float = LONGEST_SECONDS,
    window: float = WINDOW_SECONDS,
) -> Iterator[tuple[str, FloatArray]]:
    """As :func:`waveform_windows`, without clips and pieces that ``check`` refuses.

    Args:
        skipped: receives why one was left out.
    """
    for name, samples in waveform_windows(utterance, sample_rate, longest, window):
        try:
            check(utterance, samples)
        except AudioError as error:
            whole = name == utterance.identifier
            skipped.append(f"{utterance.place if whole else name}: {error}")
            continue
        yield name, samples


def feature_windows(
    utterance: Utterance,
    frontend: AnyFrontend,
    check: Check = no_check,
    skipped: list[str] | None = None,
) -> Iterator[tuple[str, FloatArray]]:
    """Name and features of a clip; of a long one those of each piece, each as a clip of its own.

    Args:
        check, skipped: see :func:`checked_windows`.

    Raises:
        AudioError: as :func:`load_features`.
    """
    if utterance.features is not None:
        features = load_features(utterance, frontend)
        second = frontend.seconds_of(1)
        most, size = (round(s / second) for s in (LONGEST_SECONDS, WINDOW_SECONDS))
        start = 0
        for piece in pieces([features], most, size):
            yield _piece_name(utterance, start * second), piece
            start += len(piece)
        return
    if not utterance.has_audio:
        raise AudioError(f"{utterance.identifier} has neither an audio file nor features")
    reasons = [] if skipped is None else skipped
    for name, samples in checked_windows(utterance, frontend.sample_rate, check, reasons):
        yield name, _featured(utterance, frontend, samples)


def _piece_name(utterance: Utterance, start: float) -> str:
    return f"{utterance.identifier} from {start:g} s on" if start else utterance.identifier


def load_features(utterance: Utterance, frontend: AnyFrontend) -> FloatArray:
    """(frames, bands) float32 of one utterance.

    Precomputed features (NumPy corpora) are returned unchanged. Audio is decoded at the front end's
    rate and passed through it.

    Raises:
        AudioError: the clip cannot be read, is shorter than one window, or precomputed features
            have another number of bands or are not finite.
    """
    if utterance.features is not None:
        bands = getattr(frontend, "mel_bands", 0)
        if not bands:
            raise AudioError(f"{utterance.identifier} has features, but the model takes waveforms")
        return _checked_features(utterance.features, utterance.identifier, bands)
    if not utterance.has_audio:
        raise AudioError(f"{utterance.identifier} has neither an audio file nor features")
    longest = round(LONGEST_SECONDS * frontend.sample_rate)
    clip = whole_or_blocks(waveform_blocks(utterance, frontend.sample_rate), longest)
    if isinstance(clip, np.ndarray):
        return _featured(utterance, frontend, clip)
    return features_of_blocks(frontend, clip)


def _featured(utterance: Utterance, frontend: AnyFrontend, waveform: FloatArray) -> FloatArray:
    try:
        return frontend(waveform)
    except AudioError as error:
        raise AudioError(f"{utterance.place}: {error}") from error


def iter_features(
    corpus: Corpus,
    frontend: AnyFrontend,
    skipped: list[str] | None = None,
) -> Iterator[tuple[Utterance, FloatArray]]:
    """Yield every usable utterance with its features, one at a time, in corpus order.

    Args:
        corpus: of audio or of precomputed features.
        frontend: computes the features.
        skipped: a list that receives ``path: reason`` for each clip that was skipped.

    Raises:
        CorpusError: at the end, if no clip was usable.
    """
    reasons = [] if skipped is None else skipped
    usable = False
    for utterance in corpus:
        try:
            features = load_features(utterance, frontend)
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

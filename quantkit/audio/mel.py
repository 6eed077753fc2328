"""Spectra of frames, and the mel filters that sum them: what all log-mel front ends share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray

#: Frames per block: their spectra fit into a cache; those of an hour would not fit in memory.
CHUNK_FRAMES = 512

# Slaney's mel scale: up to the corner linear, logarithmic beyond.
HERTZ_PER_MEL, CORNER_HERTZ = 200.0 / 3.0, 1_000.0
LOG_STEP = float(np.log(6.4) / 27.0)


def band_powers(
    slices: npt.NDArray[np.floating], window: Doubles, fft_size: int, filters: Doubles
) -> Iterator[tuple[slice, Doubles]]:
    """Powers of the bands, some frames at a time, with the place of those frames.

    Args:
        slices: (frames, samples), of the waveform.
        window: (samples,), what they are multiplied by.
        fft_size: points of the spectrum; a frame of fewer samples is followed by zeros.
        filters: (bands, fft_size // 2 + 1).
    """
    for start in range(0, len(slices), CHUNK_FRAMES):
        windowed = slices[start : start + CHUNK_FRAMES] * window
        spectrum = np.fft.rfft(windowed, n=fft_size, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        yield slice(start, start + len(windowed)), power @ filters.T


def frames_at(waveform: npt.NDArray[np.floating], size: int, hop: int) -> npt.NDArray[np.floating]:
    """(frames, size) slices that begin at every ``hop``-th sample; no copy is made."""
    return np.lib.stride_tricks.sliding_window_view(waveform, size)[::hop]


def framed(blocks: Iterable[FloatArray], window: int, hop: int) -> Iterator[FloatArray]:
    """The windows of a clip that comes in blocks, (frames, window) at a time.

    >>> [frames.tolist() for frames in framed([np.arange(3), np.arange(3, 6)], window=3, hop=2)]
    [[[0, 1, 2]], [[2, 3, 4]]]
    """
    rest: FloatArray | None = None
    for block in blocks:
        rest = block if rest is None else np.concatenate((rest, block))
        count = 1 + (len(rest) - window) // hop
        if count > 0:
            yield np.lib.stride_tricks.sliding_window_view(rest, window)[::hop][:count]
            rest = rest[count * hop :]


@lru_cache
def hann_window(size: int) -> npt.NDArray[np.float64]:
    """Periodic Hann window of ``size`` samples."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)


@lru_cache
def symmetric_hann_window(size: int) -> npt.NDArray[np.float64]:
    """Hann window of ``size`` samples that begins and ends with zero."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / (size - 1))


def hertz_to_mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mel scale of HTK (O'Shaughnessy 1987), on which 1,000 Hz are 1,000 mel."""
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


def mel_to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inverse of :func:`hertz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


@lru_cache
def htk_filters(
    bands: int, fft_size: int, sample_rate: int, low_hz: float, high_hz: float
) -> npt.NDArray[np.float64]:
    """Triangular filters on the HTK mel scale, (bands, fft_size // 2 + 1), peak 1.

    Their sides are straight over mel, not over hertz, as Kaldi and HTK have them.
    """
    low, high = hertz_to_mel(np.array([low_hz, high_hz]))
    edges = np.linspace(low, high, bands + 2)
    return _triangles(hertz_to_mel(np.arange(fft_size // 2 + 1) * sample_rate / fft_size), edges)


@lru_cache
def straight_htk_filters(bands: int, fft_size: int, sample_rate: int) -> npt.NDArray[np.float64]:
    """Triangular filters from 0 Hz to half the sample rate, with corners on the HTK mel scale.

    Their sides are straight over hertz, as torchaudio has them; (bands, fft_size // 2 + 1), peak 1.
    """
    highest = hertz_to_mel(np.array([sample_rate / 2]))[0]
    edges = mel_to_hertz(np.linspace(0.0, highest, bands + 2))
    return _triangles(np.arange(fft_size // 2 + 1) * sample_rate / fft_size, edges)


@lru_cache
def slaney_filters(
    bands: int, fft_size: int, sample_rate: int, high_hz: float | None = None
) -> npt.NDArray[np.float64]:
    """Triangular filters of equal area on Slaney's mel scale, (bands, fft_size // 2 + 1).

    They reach from 0 Hz to ``high_hz``; None: to half the sample rate. The scale is linear up to
    1,000 Hz and logarithmic beyond (M. Slaney, "Auditory Toolbox", Technical Report 1998-010,
    Interval Research).
    """
    highest = slaney_mel(sample_rate / 2.0 if high_hz is None else high_hz)
    corner_mel = CORNER_HERTZ / HERTZ_PER_MEL
    mels = np.linspace(0.0, highest, bands + 2)
    above = CORNER_HERTZ * np.exp(LOG_STEP * (mels - corner_mel))
    edges = np.where(mels < corner_mel, mels * HERTZ_PER_MEL, above)
    bins = np.arange(fft_size // 2 + 1) * sample_rate / fft_size
    area = 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(_triangles(bins, edges) * area[:, None])


def slaney_mel(hertz: float) -> float:
    """A frequency on Slaney's scale."""
    corner = CORNER_HERTZ
    if hertz < corner:
        return hertz / HERTZ_PER_MEL
    return corner / HERTZ_PER_MEL + float(np.log(hertz / corner)) / LOG_STEP


def _triangles(bins: Doubles, edges: Doubles) -> Doubles:
    """(bands, bins): from 0 at one edge to 1 at the next and 0 at the one after."""
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))

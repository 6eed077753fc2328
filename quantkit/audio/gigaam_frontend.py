"""GigaAM's log-mel spectrogram in NumPy, as its ``FeatureExtractor`` computes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import band_powers, frames_at, hann_window, straight_htk_filters
from quantkit.audio.waveform import require_speech

#: What the power of a band is kept between.
LEAST_POWER, MOST_POWER = 1e-9, 1e9


@dataclass(frozen=True)
class GigaamFrontend(FramesFrontend):
    """Settings of the spectrogram; the defaults are those of the second version.

    A frame is a slice of ``window`` samples under a periodic Hann window. With ``centred``, it lies
    around every ``hop``-th sample, and the clip is mirrored at its ends; else it lies within the
    clip. Its power spectrum is summed by triangular filters on the HTK mel scale, whose sides are
    straight over hertz, from 0 Hz to half the sample rate, and becomes ``log`` of itself between
    1e-9 and 1e9.

    Args:
        rounded: whether window and filters are rounded to bfloat16, as in the third version, whose
            weights were published in that type.
    """

    kind: ClassVar[str] = "gigaam-log-mel"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    mel_bands: int = 64
    centred: bool = True
    rounded: bool = False

    @classmethod
    def of_version(cls, version: int, sample_rate: int = 16_000) -> Self:
        """The front end of version 2 or 3, with frames of 25 or 20 ms every 10 ms."""
        hop = sample_rate // 100
        if version == 2:
            return cls(sample_rate, sample_rate // 40, hop)
        return cls(sample_rate, sample_rate // 50, hop, centred=False, rounded=True)

    @property
    def tables(self) -> tuple[Doubles, Doubles]:
        """Window (window,) and filters (window // 2 + 1, mel_bands)."""
        window, filters = _tables(self)
        return window, filters.T

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return max(0, samples - (0 if self.centred else self.window)) // self.hop + 1

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames, mel_bands) float32.

        Raises:
            AudioError: the clip is shorter than ``window`` or is not finite.
        """
        require_speech(waveform, self.window)
        half = self.window // 2
        heard = np.pad(waveform, half, mode="reflect") if self.centred else waveform
        slices = frames_at(heard, self.window, self.hop)
        window, filters = _tables(self)
        mel = np.empty((len(slices), self.mel_bands))
        for place, powers in band_powers(slices, window, self.window, filters):
            mel[place] = np.log(np.clip(powers, LEAST_POWER, MOST_POWER))
        return np.asarray(mel, np.float32)


@lru_cache
def _tables(settings: GigaamFrontend) -> tuple[Doubles, Doubles]:
    """Window and filters."""
    window = hann_window(settings.window)
    rate = settings.sample_rate
    filters = straight_htk_filters(settings.mel_bands, settings.window, rate)
    return (_in_bfloat16(window), _in_bfloat16(filters)) if settings.rounded else (window, filters)


def _in_bfloat16(values: Doubles) -> Doubles:
    """``values`` with the eight bits of bfloat16's significand, ties to even.

    >>> _in_bfloat16(np.array([1.0, 1.002, 1.006])).tolist()
    [1.0, 1.0, 1.0078125]
    """
    bits = values.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32).astype(np.float64)

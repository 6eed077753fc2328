"""The filter bank of W2v-BERT 2.0 in NumPy, as ``SeamlessM4TFeatureExtractor`` computes it.

It is Kaldi's with frames that lie within the clip, on samples of 16 bits. Every band has its mean
over the clip removed and is divided by its standard deviation, and neighbouring frames are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.frontend_json import SettingsFrontend
from quantkit.audio.kaldi_frontend import FULL_SCALE, POVEY, PREEMPHASIS, SILENCE
from quantkit.audio.mel import (
    CHUNK_FRAMES,
    band_powers,
    frames_at,
    htk_filters,
    symmetric_hann_window,
)
from quantkit.audio.waveform import require_speech

_LOW_HZ = 20.0
# Added to the variance of a band.
_LEAST_VARIANCE = 1e-7
# Of the shortest clip, each of them ``stride`` of the filter bank.
_FEWEST_FRAMES = 2


@dataclass(frozen=True)
class SeamlessFrontend(SettingsFrontend):
    """Settings of the filter bank.

    Args:
        frame, hop: samples of a frame, and between two of them.
        bands: of the filter bank.
        stride: frames that become one, of ``stride * bands`` features. What is left over at the end
            is no frame, but counts for mean and deviation.
    """

    kind: ClassVar[str] = "seamless-fbank"

    sample_rate: int = 16_000
    frame: int = 400
    hop: int = 160
    fft_size: int = 512
    bands: int = 80
    stride: int = 2

    @property
    def window(self) -> int:
        """Samples of the shortest clip."""
        return self.frame + (_FEWEST_FRAMES * self.stride - 1) * self.hop

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return max(0, 1 + (samples - self.frame) // self.hop) // self.stride

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds that ``frames`` feature frames stand for."""
        return frames * self.stride * self.hop / self.sample_rate

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames, stride * bands) float32.

        Raises:
            AudioError: the clip is shorter than ``window`` or is not finite.
        """
        require_speech(waveform, self.window)
        slices = frames_at(waveform, self.frame, self.hop)
        window = symmetric_hann_window(self.frame) ** POVEY
        half = float(self.sample_rate // 2)
        filters = htk_filters(self.bands, self.fft_size, self.sample_rate, _LOW_HZ, half)
        mel = np.empty((len(slices), self.bands))
        for start in range(0, len(slices), CHUNK_FRAMES):
            part = slices[start : start + CHUNK_FRAMES].astype(np.float64) * FULL_SCALE
            part -= part.mean(axis=1, keepdims=True)
            before = np.concatenate((part[:, :1], part[:, :-1]), axis=1)
            emphasised = part - PREEMPHASIS * before
            for place, powers in band_powers(emphasised, window, self.fft_size, filters):
                rows = slice(start + place.start, start + place.stop)
                mel[rows] = np.log(np.maximum(powers, SILENCE))
        deviation = np.sqrt(mel.var(axis=0, ddof=1) + _LEAST_VARIANCE)
        normed = (mel - mel.mean(axis=0)) / deviation
        frames = self.frames_of(waveform.size)
        together = normed[: frames * self.stride].reshape(frames, -1)
        return np.asarray(together, np.float32)

"""LASR's log-mel spectrogram in NumPy, as ``LasrFeatureExtractor`` computes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import band_powers, frames_at, htk_filters, symmetric_hann_window
from quantkit.audio.waveform import require_speech

_LOW_HZ, _HIGH_HZ = 125.0, 7_500.0
#: Power below which a band counts as silent.
SILENCE = 1e-5


@dataclass(frozen=True)
class LasrFrontend(FramesFrontend):
    """Settings of the spectrogram.

    A frame is a slice of ``frame`` samples under a symmetric Hann window, and lies within the clip.
    Its power spectrum is summed by triangular filters on the HTK mel scale from 125 to 7,500 Hz,
    and becomes ``log(max(power, 1e-5))``.

    Args:
        frame, hop: samples of a frame, and between two of them.
        mel_bands: of the spectrogram.
        fewest: frames of the shortest clip, which the model makes a step of.
    """

    kind: ClassVar[str] = "lasr-log-mel"

    sample_rate: int = 16_000
    frame: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 128
    fewest: int = 13

    @property
    def window(self) -> int:
        """Samples of the shortest clip."""
        return self.frame + (self.fewest - 1) * self.hop

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return max(0, 1 + (samples - self.frame) // self.hop)

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
        slices = frames_at(waveform, self.frame, self.hop)
        filters = htk_filters(self.mel_bands, self.fft_size, self.sample_rate, _LOW_HZ, _HIGH_HZ)
        mel = np.empty((len(slices), self.mel_bands))
        for place, powers in band_powers(
            slices, symmetric_hann_window(self.frame), self.fft_size, filters
        ):
            mel[place] = np.log(np.maximum(powers, SILENCE))
        return np.asarray(mel, np.float32)

"""Kaldi's log-mel filter bank as sherpa-onnx makes it for GigaAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.kaldi_frontend import PREEMPHASIS, SILENCE, KaldiFrames
from quantkit.audio.mel import band_powers, hann_window, htk_filters


@dataclass(frozen=True)
class HannKaldiFrontend(KaldiFrames):
    """Settings of the filter bank; the defaults are those of GigaAM in sherpa-onnx.

    Frames keep their mean, are pre-emphasised, put under a periodic Hann window and filled up to a
    power of two. Triangular filters on the HTK mel scale, from 0 Hz to half the sample rate, sum
    the power spectrum, which becomes ``log(max(power, 1.2e-7))``.

    GigaAM itself has neither pre-emphasis nor a longer transform, and sherpa-onnx 2.0 asks for
    neither (``offline-recognizer-transducer-nemo-impl.h``), but the streams of its offline
    recognisers do not hand both wishes on (``offline-stream.cc``).
    """

    kind: ClassVar[str] = "hann-kaldi-fbank"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 64

    @classmethod
    def for_rate(cls, sample_rate: int, mel_bands: int = 64) -> HannKaldiFrontend:
        """With frames of 25 ms every 10 ms."""
        window, hop = round(0.025 * sample_rate), round(0.01 * sample_rate)
        return cls(sample_rate, window, hop, 1 << (window - 1).bit_length(), mel_bands)

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames, mel_bands) float32.

        Raises:
            AudioError: the clip is shorter than one window or is not finite.
        """
        slices = self.slices_of(waveform)
        before = np.concatenate((slices[:, :1], slices[:, :-1]), axis=1)
        emphasised = slices - PREEMPHASIS * before.astype(np.float64)
        filters = htk_filters(
            self.mel_bands, self.fft_size, self.sample_rate, 0.0, self.sample_rate / 2
        )
        window = hann_window(self.window)
        mel = np.empty((len(slices), self.mel_bands))
        for place, powers in band_powers(emphasised, window, self.fft_size, filters):
            mel[place] = np.log(np.maximum(powers, SILENCE))
        return np.asarray(mel, np.float32)

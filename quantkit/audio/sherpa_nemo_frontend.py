"""NeMo's log-mel spectrogram as sherpa-onnx makes it, which is not NeMo's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.audio.kaldi_frontend import POVEY, PREEMPHASIS, KaldiFrames
from quantkit.audio.mel import band_powers, hann_window, slaney_filters, symmetric_hann_window
from quantkit.audio.nemo_frontend import LEAST_DEVIATION, LOG_GUARD


@dataclass(frozen=True)
class SherpaNemoFrontend(KaldiFrames):
    """Settings of the spectrogram; the defaults are those of CTC models.

    Frames are Kaldi's: their middles lie half a hop behind every ``hop``-th sample, the clip is
    mirrored at its ends, and each frame is pre-emphasised alone and filled up to a power of two.
    Triangular filters of equal area on Slaney's mel scale, from 0 Hz on, sum the power spectrum,
    which becomes ``log(power + 2⁻²⁴)``. Every band then has its mean over the clip removed and is
    divided by its standard deviation (of n) plus 1e-5.

    For transducers sherpa-onnx leaves two defaults as they are: the povey window, and an end of the
    filters 400 Hz below half the sample rate (``offline-recognizer-transducer-nemo-impl.h``). The
    numbers were read out of sherpa-onnx 2.0.1 through graphs that write their inputs as labels.

    Args:
        high_hz: upper end of the filters.
        povey: whether the window is Kaldi's povey instead of a periodic Hann window.
    """

    kind: ClassVar[str] = "sherpa-nemo-fbank"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 80
    high_hz: float = 8_000.0
    povey: bool = False

    @classmethod
    def for_rate(
        cls, sample_rate: int, mel_bands: int, *, transducer: bool = False
    ) -> SherpaNemoFrontend:
        """With frames of 25 ms every 10 ms.

        Args:
            transducer: as for a transducer, and not as for CTC.
        """
        window, hop = round(0.025 * sample_rate), round(0.01 * sample_rate)
        size = 1 << (window - 1).bit_length()
        high = sample_rate / 2 - (400.0 if transducer else 0.0)
        return cls(sample_rate, window, hop, size, mel_bands, high, transducer)

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
        filters = slaney_filters(self.mel_bands, self.fft_size, self.sample_rate, self.high_hz)
        window = (
            symmetric_hann_window(self.window) ** POVEY if self.povey else hann_window(self.window)
        )
        mel = np.empty((len(slices), self.mel_bands))
        for place, powers in band_powers(emphasised, window, self.fft_size, filters):
            mel[place] = np.log(powers + LOG_GUARD)
        deviation = mel.std(axis=0) + LEAST_DEVIATION
        return np.asarray((mel - mel.mean(axis=0)) / deviation, np.float32)

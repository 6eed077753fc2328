"""NeMo's log-mel spectrogram in NumPy, as ``AudioToMelSpectrogramPreprocessor`` computes it.

Parakeet, Canary, Conformer-CTC, FastConformer, Citrinet and QuartzNet hear through it. Dither is
for training and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.feature_stream import WindowStream
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import band_powers, frames_at, slaney_filters, symmetric_hann_window
from quantkit.audio.waveform import require_speech

#: Each sample loses so much of the one before it.
PREEMPHASIS = 0.97
#: What is added before the logarithm.
LOG_GUARD = 2.0**-24
#: What is added to a standard deviation.
LEAST_DEVIATION = 1e-5


@dataclass(frozen=True)
class NemoFrontend(FramesFrontend):
    """Settings of the spectrogram; the defaults are those of the models of 80 bands.

    The waveform is pre-emphasised. A frame is a slice of ``window`` samples under a symmetric Hann
    window, centred on every ``hop``-th sample; the clip stands between zeros. Its power spectrum is
    summed by triangular filters on Slaney's mel scale from 0 Hz to half the sample rate, and
    becomes ``log(power + 2⁻²⁴)``. Every band then has its mean over the clip removed and is divided
    by its standard deviation (of n − 1) plus 1e-5.

    Args:
        mel_bands: 80 or 128 in the published models.
    """

    kind: ClassVar[str] = "nemo-log-mel"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 80

    @classmethod
    def for_rate(cls, sample_rate: int, mel_bands: int) -> Self:
        """With frames of 25 ms every 10 ms."""
        window = round(0.025 * sample_rate)
        hop = round(0.01 * sample_rate)
        return cls(sample_rate, window, hop, 1 << (window - 1).bit_length(), mel_bands)

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return samples // self.hop

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames, mel_bands) float32.

        Raises:
            AudioError: the clip is shorter than one window or two frames, or is not finite.
        """
        require_speech(waveform, max(self.window, 2 * self.hop))
        half = self.window // 2
        padded = np.zeros(waveform.size + 2 * half + self.window)
        padded[half : half + waveform.size] = waveform
        padded[half + 1 : half + waveform.size] -= PREEMPHASIS * waveform[:-1].astype(np.float64)
        frames = self.frames_of(waveform.size)
        slices = frames_at(padded, self.window, self.hop)[:frames]
        mel = self._energies(slices)
        return self.normalized(mel, mel.mean(axis=0), mel.var(axis=0, ddof=1))

    def stream(self) -> WindowStream:
        """The logarithms of a clip that comes in pieces, not normalised."""
        return WindowStream(
            self.window,
            self.hop,
            self.mel_bands,
            self._energies,
            self.frames_of,
            edges="zeros",
            ahead=self.window // 2,
            emphasis=PREEMPHASIS,
        )

    #: Mean and variance of the logarithms of speech, over all bands.
    expected: ClassVar[tuple[float, float] | None] = (-11.4, 10.8)

    def normalized(self, rows: Doubles, mean: Doubles, variance: Doubles) -> FloatArray:
        """Features of logarithms.

        Args:
            rows: (frames, mel_bands).
            mean, variance: (mel_bands,) of the clip.
        """
        return np.asarray((rows - mean) / (np.sqrt(variance) + LEAST_DEVIATION), np.float32)

    def _energies(self, slices: npt.NDArray[np.floating]) -> Doubles:
        filters = slaney_filters(self.mel_bands, self.fft_size, self.sample_rate)
        mel = np.empty((len(slices), self.mel_bands))
        window = symmetric_hann_window(self.window)
        for rows, bands in band_powers(slices, window, self.fft_size, filters):
            mel[rows] = np.log(bands + LOG_GUARD)
        return mel


@dataclass(frozen=True)
class NemoRawFrontend(NemoFrontend):
    """The same without normalisation, as NeMo's streaming models hear (``normalize: NA``)."""

    kind: ClassVar[str] = "nemo-log-mel-raw"
    expected: ClassVar[tuple[float, float] | None] = None

    def normalized(self, rows: Doubles, mean: Doubles, variance: Doubles) -> FloatArray:
        """``rows`` as they are."""
        return np.asarray(rows, np.float32)

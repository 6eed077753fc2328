"""Kaldi's log-mel filter bank in NumPy, as kaldi-native-fbank computes it for icefall and sherpa.

Dither is for training and left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.feature_stream import WindowStream
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import band_powers, frames_at, htk_filters, symmetric_hann_window
from quantkit.audio.waveform import require_speech

#: Each sample of a frame loses so much of the one before it; the first one of itself.
PREEMPHASIS = 0.97
#: The power of a Hann window that Kaldi calls povey.
POVEY = 0.85
#: Power below which a band counts as silent: the epsilon of float32.
SILENCE = float(np.finfo(np.float32).eps)
#: What full scale is where models were trained on integers.
FULL_SCALE = 32_768.0
_FRAMES_AT_ONCE = 512


class KaldiFrames(FramesFrontend):
    """Frames of ``window`` samples whose middle lies half a hop behind every ``hop``-th sample.

    At its ends the clip is mirrored (``snip_edges=False``).
    """

    if TYPE_CHECKING:

        @property
        def window(self) -> int:
            """Samples of a frame."""

    @property
    def ahead(self) -> int:
        """Samples before the clip that its first frame begins."""
        return self.window // 2 - self.hop // 2

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return (samples + self.hop // 2) // self.hop

    def slices_of(self, waveform: FloatArray) -> npt.NDArray[np.floating]:
        """The frames of a clip, (frames, window).

        Raises:
            AudioError: the clip is shorter than one window or is not finite.
        """
        require_speech(waveform, self.window)
        mirrored = np.pad(waveform, (self.ahead, self.window), mode="symmetric")
        return frames_at(mirrored, self.window, self.hop)[: self.frames_of(waveform.size)]


@dataclass(frozen=True)
class KaldiFrontend(KaldiFrames):
    """Settings of the filter bank; the defaults are those of icefall.

    From each frame its mean is removed, it is pre-emphasised, and put under the povey window. Its
    power spectrum is summed by triangular filters on the HTK mel scale, and becomes
    ``log(max(power, 1.2e-7))``.

    Args:
        high_hz: upper end of the filters; Kaldi calls it -400, which is below half the sample rate.
        integers: whether samples are scaled to ±32,768 first, as WeNet's models have it.
    """

    kind: ClassVar[str] = "kaldi-fbank"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 80
    low_hz: float = 20.0
    high_hz: float = 7_600.0
    integers: bool = False

    @classmethod
    def for_rate(cls, sample_rate: int, mel_bands: int, integers: bool = False) -> KaldiFrontend:
        """With frames of 25 ms every 10 ms, and filters up to 400 Hz below half the rate."""
        window, hop = round(0.025 * sample_rate), round(0.01 * sample_rate)
        size = 1 << (window - 1).bit_length()
        high = sample_rate / 2 - 400.0
        return cls(sample_rate, window, hop, size, mel_bands, 20.0, high, integers)

    @property
    def scale(self) -> float:
        """What samples are multiplied by."""
        return FULL_SCALE if self.integers else 1.0

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
        mel = np.empty((len(slices), self.mel_bands))
        for start in range(0, len(slices), _FRAMES_AT_ONCE):
            rows = slice(start, start + _FRAMES_AT_ONCE)
            mel[rows] = self._energies(slices[rows])
        return np.asarray(mel, np.float32)

    def stream(self) -> WindowStream:
        """The rows of a clip that comes in pieces."""
        return WindowStream(
            self.window,
            self.hop,
            self.mel_bands,
            self._energies,
            self.frames_of,
            edges="mirrored",
            ahead=self.ahead,
        )

    #: Nothing is normalised.
    expected: ClassVar[tuple[float, float] | None] = None

    def normalized(self, rows: Doubles, mean: Doubles, variance: Doubles) -> FloatArray:
        """``rows`` as they are."""
        return np.asarray(rows, np.float32)

    def _energies(self, slices: npt.NDArray[np.floating]) -> Doubles:
        filters = htk_filters(
            self.mel_bands, self.fft_size, self.sample_rate, self.low_hz, self.high_hz
        )
        window = symmetric_hann_window(self.window) ** POVEY
        mel = np.empty((len(slices), self.mel_bands))
        part = self._emphasised(slices)
        for rows, bands in band_powers(part, window, self.fft_size, filters):
            mel[rows] = np.log(np.maximum(bands, SILENCE))
        return mel

    def _emphasised(self, slices: npt.NDArray[np.floating]) -> Doubles:
        scaled = slices.astype(np.float64) * self.scale
        scaled -= scaled.mean(axis=1, keepdims=True)
        before = np.concatenate((scaled[:, :1], scaled[:, :-1]), axis=1)
        return np.asarray(scaled - PREEMPHASIS * before)

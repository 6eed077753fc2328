"""Waveform → normalised log-mel features, in NumPy.

``quantkit.exporting.frontend_graph`` writes the same computation as ONNX nodes; both read their
constants from :class:`Frontend`, which is stored in the artifact's metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.feature_stream import WindowStream
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import (
    CHUNK_FRAMES,
    band_powers,
    framed,
    frames_at,
    hann_window,
    htk_filters,
)
from quantkit.audio.waveform import require_speech


@dataclass(frozen=True)
class Frontend(FramesFrontend):
    """Log-mel filterbank settings; the defaults are those of the shipped models.

    A frame is a Hann-windowed slice of ``window`` samples that starts every ``hop`` samples and is
    wholly inside the clip, so ``samples`` give ``1 + (samples - window) // hop`` frames. Its power
    spectrum is taken over ``fft_size`` points, summed by triangular filters on the HTK mel scale,
    and passed through ``log(power + log_offset)``. Every mel band then has its mean over the clip
    removed and is divided by ``sqrt(variance + variance_floor)``.
    """

    kind: ClassVar[str] = "log-mel"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    fft_size: int = 512
    mel_bands: int = 40
    low_hz: float = 20.0
    high_hz: float = 7_600.0
    log_offset: float = 1e-5
    variance_floor: float = 1e-2

    def frames_of(self, samples: int) -> int:
        """Number of feature frames of a clip of ``samples`` samples."""
        return max(0, 1 + (samples - self.window) // self.hop)

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames, mel_bands) float32.

        Raises:
            AudioError: the clip is shorter than one window or is not finite.
        """
        require_speech(waveform, self.window)
        mel = self._energies(frames_at(waveform, self.window, self.hop))
        mean = mel.mean(axis=0)
        return self.normalized(mel, mean, ((mel - mean) ** 2).mean(axis=0))

    def stream(self) -> WindowStream:
        """The log-mel energies of a clip that comes in pieces, not normalised."""
        return WindowStream(self.window, self.hop, self.mel_bands, self._energies, self.frames_of)

    #: Mean and variance of the log-mel energies of speech, over all bands: what a stream expects
    #: before it has heard any.
    expected: ClassVar[tuple[float, float] | None] = (-5.0, 12.5)

    def normalized(self, rows: Doubles, mean: Doubles, variance: Doubles) -> FloatArray:
        """Features of log-mel energies.

        Args:
            rows: (frames, mel_bands).
            mean, variance: (mel_bands,) of the clip.
        """
        return np.asarray((rows - mean) / np.sqrt(variance + self.variance_floor), np.float32)

    def of_blocks(self, blocks: Iterable[FloatArray]) -> FloatArray:
        """As :meth:`__call__` for a long clip, in not much more memory than its features take.

        Sums are made in another order, so the last digits may differ.

        Args:
            blocks: (samples,) each, finite, together one clip.

        Raises:
            AudioError: the clip is shorter than one window.
        """
        parts: list[FloatArray] = []
        for slices in framed(blocks, self.window, self.hop):
            parts.append(np.empty((len(slices), self.mel_bands), np.float32))
            self._fill(parts[-1], slices)
        if not parts:
            require_speech(np.zeros(0, np.float32), self.window)
        mel = np.concatenate(parts)
        parts.clear()
        mean = mel.mean(axis=0, dtype=np.float64)
        mel -= mean.astype(np.float32)
        variance = np.zeros(self.mel_bands)
        for start in range(0, len(mel), CHUNK_FRAMES):
            variance += (mel[start : start + CHUNK_FRAMES].astype(np.float64) ** 2).sum(axis=0)
        mel /= np.sqrt(variance / len(mel) + self.variance_floor).astype(np.float32)
        return mel

    def _energies(self, slices: npt.NDArray[np.floating]) -> Doubles:
        mel = np.empty((len(slices), self.mel_bands))
        self._fill(mel, slices)
        return mel

    def _fill(self, mel: FloatArray | Doubles, slices: npt.NDArray[np.floating]) -> None:
        """Write the log-mel energies of windows of samples, (frames, window), to ``mel``."""
        filters = htk_filters(
            self.mel_bands, self.fft_size, self.sample_rate, self.low_hz, self.high_hz
        )
        for place, bands in band_powers(slices, hann_window(self.window), self.fft_size, filters):
            mel[place] = np.log(bands + self.log_offset)

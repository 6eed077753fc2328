"""Whisper's log-mel spectrogram in NumPy (Radford et al. 2022, "Robust Speech Recognition via
Large-Scale Weak Supervision", section 2.2), as its published code computes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.frontend_json import FramesFrontend
from quantkit.audio.mel import band_powers, framed, frames_at, hann_window, slaney_filters
from quantkit.audio.waveform import require_speech

#: Power below which a band counts as silent, and the dynamic range that is kept, in decades.
SILENCE, DECADES = 1e-10, 8.0


@dataclass(frozen=True)
class WhisperFrontend(FramesFrontend):
    """Settings of the spectrogram; the defaults are those of every Whisper but large-v3.

    A frame is a Hann-windowed slice of ``window`` samples, centred on every ``hop``-th sample of
    the clip, which is reflected at its beginning and followed by silence. Its power spectrum is
    summed by triangular filters on Slaney's mel scale, and the logarithm to base 10 is cut off
    ``8`` below the loudest value of the clip and brought near [-1, 1].

    Args:
        mel_bands: 80, or 128 for large-v3.
        window_seconds: length of the model's input window; clips are padded to it.
    """

    kind: ClassVar[str] = "whisper-log-mel"

    sample_rate: int = 16_000
    window: int = 400
    hop: int = 160
    mel_bands: int = 80
    window_seconds: int = 30

    @property
    def window_frames(self) -> int:
        """Frames of the model's input window."""
        return self.window_seconds * self.sample_rate // self.hop

    def frames_of(self, samples: int) -> int:
        """Frames of a clip of ``samples`` samples, without its padding."""
        return -(-samples // self.hop)

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """Features of one clip followed by a window of silence.

        Args:
            waveform: (samples,) in [-1, 1] at ``sample_rate``.

        Returns:
            (frames_of(samples) + window_frames, mel_bands) float32; a window that begins anywhere
            in the clip is complete.

        Raises:
            AudioError: the clip is shorter than one window of the spectrum, or is not finite.
        """
        require_speech(waveform, self.window)
        frames = self.frames_of(waveform.size)
        half = self.window // 2
        padded = np.concatenate((waveform[half:0:-1], waveform, np.zeros(self.window, np.float32)))
        slices = frames_at(padded, self.window, self.hop)
        mel = np.full((frames + self.window_frames, self.mel_bands), np.log10(SILENCE))
        self._fill(mel, slices[: len(mel)])
        loud = np.maximum(mel, mel.max() - DECADES)
        return np.asarray((loud + 4.0) / 4.0, np.float32)

    def of_blocks(self, blocks: Iterable[FloatArray]) -> FloatArray:
        """As :meth:`__call__` for a long clip, in not much more memory than its features take.

        Single precision between the steps makes the last digits differ.

        Args:
            blocks: (samples,) each, finite, together one clip; the first holds half a window.
        """
        samples = 0
        parts: list[FloatArray] = []

        def padded() -> Iterator[FloatArray]:
            nonlocal samples
            for block in blocks:
                if not samples:
                    yield block[self.window // 2 : 0 : -1]
                samples += len(block)
                yield block
            yield np.zeros(self.window, np.float32)

        for slices in framed(padded(), self.window, self.hop):
            parts.append(np.empty((len(slices), self.mel_bands), np.float32))
            self._fill(parts[-1], slices)
        total = self.frames_of(samples) + self.window_frames
        silent = total - sum(map(len, parts))
        parts.append(np.full((silent, self.mel_bands), np.log10(SILENCE), np.float32))
        mel = np.concatenate(parts)
        parts.clear()
        np.maximum(mel, mel.max() - np.float32(DECADES), out=mel)
        mel += np.float32(4.0)
        mel /= np.float32(4.0)
        return mel

    def _fill(self, mel: FloatArray | Doubles, slices: npt.NDArray[np.floating]) -> None:
        """Write logarithms of windows of samples, (frames, window), to the rows of ``mel``."""
        filters = slaney_filters(self.mel_bands, self.window, self.sample_rate)
        for place, bands in band_powers(slices, hann_window(self.window), self.window, filters):
            mel[place] = np.log10(np.maximum(bands, SILENCE))

"""Whisper's log-mel spectrogram in NumPy (Radford et al. 2022, "Robust Speech Recognition via
Large-Scale Weak Supervision", section 2.2), as its published code computes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import framed, hann_window
from quantkit.audio.waveform import require_speech
from quantkit.errors import FormatError

# Frames per block: their spectra fit into a core's cache; those of an hour would not fit in memory.
_CHUNK_FRAMES = 512
# Power below which a band counts as silent, and the dynamic range that is kept, in decades.
_SILENCE, _DECADES = 1e-10, 8.0


@dataclass(frozen=True)
class WhisperFrontend:
    """Settings of the spectrogram; the defaults are those of every Whisper but large-v3.

    A frame is a Hann-windowed slice of ``window`` samples, centred on every ``hop``-th sample of
    the clip, which is reflected at its beginning and followed by silence. Its power spectrum is
    summed by triangular filters on Slaney's mel scale, and the logarithm to base 10 is cut off
    ``8`` below the loudest value of the clip and brought near [-1, 1].

    Args:
        mel_bands: 80, or 128 for large-v3.
        window_seconds: length of the model's input window; clips are padded to it.
    """

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

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds that ``frames`` frames stand for."""
        return frames * self.hop / self.sample_rate

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
        slices = np.lib.stride_tricks.sliding_window_view(padded, self.window)[:: self.hop]
        mel = np.full((frames + self.window_frames, self.mel_bands), np.log10(_SILENCE))
        spoken = min(len(slices), len(mel))
        self._fill(mel[:spoken], slices)
        loud = np.maximum(mel, mel.max() - _DECADES)
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
        parts.append(np.full((silent, self.mel_bands), np.log10(_SILENCE), np.float32))
        mel = np.concatenate(parts)
        parts.clear()
        np.maximum(mel, mel.max() - np.float32(_DECADES), out=mel)
        mel += np.float32(4.0)
        mel /= np.float32(4.0)
        return mel

    def _fill(self, mel: npt.NDArray[Any], slices: FloatArray) -> None:
        """Write logarithms of windows of samples, (frames, window), to the rows of ``mel``."""
        for start in range(0, len(mel), _CHUNK_FRAMES):
            windowed = slices[start : start + _CHUNK_FRAMES] * hann_window(self.window)
            spectrum = np.fft.rfft(windowed, axis=1)
            power = spectrum.real**2 + spectrum.imag**2
            bands = power @ slaney_filters(self).T
            end = min(start + len(bands), len(mel))
            mel[start:end] = np.log10(np.maximum(bands[: end - start], _SILENCE))

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.frontend`` metadata."""
        return json.dumps({"kind": "whisper-log-mel", **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> WhisperFrontend:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: another kind of front end, or settings that are not positive numbers.
        """
        try:
            content = json.loads(text)
            if content.pop("kind") != "whisper-log-mel":
                raise FormatError("the front end is not Whisper's")
            content.pop("fused", None)
            frontend = cls(**{name: int(value) for name, value in content.items()})
        except FormatError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"front end settings are not readable: {error}") from error
        if min(asdict(frontend).values()) < 1:
            raise FormatError("front end settings must be positive")
        return frontend


@lru_cache
def slaney_filters(frontend: WhisperFrontend) -> npt.NDArray[np.float64]:
    """Triangular filters of equal area on Slaney's mel scale, (mel_bands, window // 2 + 1).

    The scale is linear up to 1,000 Hz and logarithmic beyond (M. Slaney, "Auditory Toolbox",
    Technical Report 1998-010, Interval Research).
    """
    hertz_per_mel, corner = 200.0 / 3.0, 1_000.0
    step = np.log(6.4) / 27.0
    corner_mel = corner / hertz_per_mel
    highest = corner_mel + np.log(frontend.sample_rate / 2.0 / corner) / step
    mels = np.linspace(0.0, highest, frontend.mel_bands + 2)
    edges = np.where(
        mels < corner_mel, mels * hertz_per_mel, corner * np.exp(step * (mels - corner_mel))
    )
    bins = np.arange(frontend.window // 2 + 1) * frontend.sample_rate / frontend.window
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)) * area[:, None])

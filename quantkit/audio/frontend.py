"""Waveform → normalised log-mel features, in NumPy.

``quantkit.exporting.frontend_graph`` writes the same computation as ONNX nodes; both read their
constants from :class:`Frontend`, which is stored in the artifact's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.audio.waveform import require_speech
from quantkit.errors import FormatError

# Frames per block: their spectra fit into a core's cache; those of an hour would not fit in memory.
_CHUNK_FRAMES = 512


@dataclass(frozen=True)
class Frontend:
    """Log-mel filterbank settings; the defaults are those of the shipped models.

    A frame is a Hann-windowed slice of ``window`` samples that starts every ``hop`` samples and is
    wholly inside the clip, so ``samples`` give ``1 + (samples - window) // hop`` frames. Its power
    spectrum is taken over ``fft_size`` points, summed by triangular filters on the HTK mel scale,
    and passed through ``log(power + log_offset)``. Every mel band then has its mean over the clip
    removed and is divided by ``sqrt(variance + variance_floor)``.
    """

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

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds that ``frames`` feature frames stand for."""
        return frames * self.hop / self.sample_rate

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
        slices = np.lib.stride_tricks.sliding_window_view(waveform, self.window)[:: self.hop]
        mel = np.empty((len(slices), self.mel_bands))
        self._fill(mel, slices)
        centred = mel - mel.mean(axis=0)
        scaled = centred / np.sqrt((centred**2).mean(axis=0) + self.variance_floor)
        return np.asarray(scaled, np.float32)

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
        for start in range(0, len(mel), _CHUNK_FRAMES):
            variance += (mel[start : start + _CHUNK_FRAMES].astype(np.float64) ** 2).sum(axis=0)
        mel /= np.sqrt(variance / len(mel) + self.variance_floor).astype(np.float32)
        return mel

    def _fill(self, mel: npt.NDArray[Any], slices: FloatArray) -> None:
        """Write the log-mel energies of windows of samples, (frames, window), to ``mel``."""
        for start in range(0, len(slices), _CHUNK_FRAMES):
            windowed = slices[start : start + _CHUNK_FRAMES] * hann_window(self.window)
            spectrum = np.fft.rfft(windowed, n=self.fft_size, axis=1)
            power = spectrum.real**2 + spectrum.imag**2
            mel[start : start + _CHUNK_FRAMES] = np.log(
                power @ mel_filters(self).T + self.log_offset
            )

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.frontend`` metadata."""
        return json.dumps({"kind": "log-mel", **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> Frontend:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: another kind of front end, or missing or unknown settings.
        """
        try:
            content = json.loads(text)
            if content.pop("kind") != "log-mel":
                raise FormatError("the front end is not a log-mel one")
            content.pop("fused", None)
            return cls(**content)
        except FormatError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FormatError(f"front end settings are not readable: {error}") from error


def framed(blocks: Iterable[FloatArray], window: int, hop: int) -> Iterator[FloatArray]:
    """The windows of a clip that comes in blocks, (frames, window) at a time.

    >>> [frames.tolist() for frames in framed([np.arange(3), np.arange(3, 6)], window=3, hop=2)]
    [[[0, 1, 2]], [[2, 3, 4]]]
    """
    rest: FloatArray | None = None
    for block in blocks:
        rest = block if rest is None else np.concatenate((rest, block))
        count = 1 + (len(rest) - window) // hop
        if count > 0:
            yield np.lib.stride_tricks.sliding_window_view(rest, window)[::hop][:count]
            rest = rest[count * hop :]


@lru_cache
def hann_window(size: int) -> npt.NDArray[np.float64]:
    """Periodic Hann window of ``size`` samples."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)


def hertz_to_mel(hertz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The mel scale of HTK (O'Shaughnessy 1987), on which 1,000 Hz are 1,000 mel."""
    return np.asarray(2595.0 * np.log10(1.0 + hertz / 700.0))


def mel_to_hertz(mel: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Inverse of :func:`hertz_to_mel`."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


@lru_cache
def mel_filters(frontend: Frontend) -> npt.NDArray[np.float64]:
    """Triangular filters on the HTK mel scale, (mel_bands, fft_size // 2 + 1), peak 1."""
    low, high = hertz_to_mel(np.array([frontend.low_hz, frontend.high_hz]))
    edges = np.linspace(low, high, frontend.mel_bands + 2)
    bins = hertz_to_mel(
        np.arange(frontend.fft_size // 2 + 1) * frontend.sample_rate / frontend.fft_size
    )
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))

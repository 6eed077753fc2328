"""The front end of models that take the waveform itself: wav2vec 2.0 and its relatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quantkit.arrays import FloatArray
from quantkit.audio.frontend_json import SettingsFrontend
from quantkit.audio.waveform import require_speech


@dataclass(frozen=True)
class WaveformFrontend(SettingsFrontend):
    """A sample rate and a shortest length; all other processing is part of the graph.

    >>> WaveformFrontend().seconds_of(8_000)
    0.5

    Args:
        sample_rate: of the waveform that the model takes.
        window: samples of the shortest clip that gives an output frame.
    """

    kind: ClassVar[str] = "waveform"

    sample_rate: int = 16_000
    window: int = 400

    def frames_of(self, samples: int) -> int:
        """Steps of the model's input: the samples themselves."""
        return samples

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds of ``frames`` samples."""
        return frames / self.sample_rate

    def __call__(self, waveform: FloatArray) -> FloatArray:
        """The waveform unchanged, (samples,).

        Raises:
            AudioError: the clip is shorter than ``window`` or is not finite.
        """
        require_speech(waveform, self.window)
        return waveform

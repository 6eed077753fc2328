"""The front end of models that take the waveform itself: wav2vec 2.0 and its relatives."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from quantkit.arrays import FloatArray
from quantkit.audio.waveform import require_speech
from quantkit.errors import FormatError


@dataclass(frozen=True)
class WaveformFrontend:
    """A sample rate and a shortest length; all other processing is part of the graph.

    >>> WaveformFrontend().seconds_of(8_000)
    0.5

    Args:
        sample_rate: of the waveform that the model takes.
        window: samples of the shortest clip that gives an output frame.
    """

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

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.frontend`` metadata."""
        return json.dumps({"kind": "waveform", **asdict(self)})

    @classmethod
    def from_json(cls, text: str) -> WaveformFrontend:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: another kind of front end, or settings that are not positive numbers.
        """
        try:
            content = json.loads(text)
            if content["kind"] != "waveform":
                raise FormatError("the front end does not take waveforms")
            frontend = cls(int(content["sample_rate"]), int(content["window"]))
        except (ValueError, KeyError, TypeError) as error:
            raise FormatError(f"front end settings are not readable: {error}") from error
        if min(frontend.sample_rate, frontend.window) < 1:
            raise FormatError("front end settings must be positive")
        return frontend

"""How an artifact hears chunk by chunk (metadata entry ``quantkit.streaming``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from quantkit.audio.running_normalization import Expected
from quantkit.errors import FormatError
from quantkit.graph.info import ArtifactInfo
from quantkit.json_dataclass import build
from quantkit.json_fields import Range, parse_json
from quantkit.runtime.settings_entry import settings_entry

#: Name of the entry, in ``ArtifactInfo.extra``.
STREAMING = "streaming"

# An hour of features.
_FRAMES = Range(0, 360_000)
_RANGES = {
    "chunk": Range(1, 360_000),
    "shift": Range(1, 360_000),
    "stride": Range(0, 1_024),
    "delay": _FRAMES,
    "look_ahead": _FRAMES,
    "tail": _FRAMES,
    "lead": _FRAMES,
    "rows": _FRAMES,
    "mean": Range(-1e6, 1e6),
    "variance": Range(0, 1e6),
}


@dataclass(frozen=True)
class StreamingSettings:
    """What one run takes, and when its answer is due. All times are in frames of features.

    Args:
        chunk: that a run takes.
        shift: from the beginning of one run to that of the next; what is more in a chunk is seen
            by the next run again.
        stride: for a row of the output; 0 where that is unknown.
        delay: rows of the output before the first that belongs to the clip.
        look_ahead: that follow a row's own ones and are heard before the row is given, chunk aside.
        ends: whether the graph is told where the clip ends (``lengths``). If not, silence follows.
        tail: of silence behind the clip that a graph hears which is told nothing.
        lead: frames of zeros that stand before the clip in the first chunk.
        expected: of the rows of speech, where features are normalised; see
            :class:`~quantkit.audio.running_normalization.RunningNormalization`.
    """

    chunk: int
    shift: int
    stride: int = 0
    delay: int = 0
    look_ahead: int = 0
    ends: bool = False
    tail: int = 0
    lead: int = 0
    expected: Expected | None = None

    def runs_for(self, frames: int) -> int:
        """How many runs give all rows of a clip of so many frames."""
        if not frames:
            return 0
        if self.ends:
            rows = (frames + self.lead) // self.stride + 1 + self.delay
            return -(-rows * self.stride // self.shift)
        return -(-(self.lead + frames + self.tail) // self.shift)

    def to_json(self) -> str:
        """The metadata entry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> StreamingSettings:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = "how it hears in chunks"
        found = build(cls, parse_json(text, where), where, _RANGES)
        if found.shift > found.chunk or (
            found.ends and (not found.stride or found.shift % found.stride)
        ):
            raise FormatError(f"{where}: its chunks do not follow one another")
        return found


def streaming_settings(extra: Mapping[str, str]) -> StreamingSettings:
    """Those in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.

    Raises:
        ModelError: there are none, or they are damaged.
    """
    return settings_entry(
        extra,
        STREAMING,
        StreamingSettings.from_json,
        "how it hears in chunks",
        "quantkit export --streaming",
    )


def chunk_times(info: ArtifactInfo) -> tuple[float, float]:
    """Seconds of audio from one chunk to the next, and of look-ahead; 0 for whole clips.

    Raises:
        ModelError: the settings are damaged.
    """
    if STREAMING not in info.extra or info.frontend is None:
        return 0.0, 0.0
    settings = streaming_settings(info.extra)
    return info.frontend.seconds_of(settings.shift), info.frontend.seconds_of(settings.look_ahead)

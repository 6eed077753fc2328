"""Settings of front ends as JSON, every field of which is checked when it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from quantkit.errors import FormatError
from quantkit.json_dataclass import build
from quantkit.json_fields import Range

T = TypeVar("T")

_WHERE = "front end settings"
_LARGEST = 1 << 16
#: What settings of any front end may be; a file cannot make it compute tables without end.
RANGES: Mapping[str, Range] = {
    "sample_rate": Range(1, 1_000_000),
    "window": Range(1, _LARGEST),
    "frame": Range(1, _LARGEST),
    "hop": Range(1, _LARGEST),
    "fft_size": Range(2, _LARGEST),
    "mel_bands": Range(1, 1_024),
    "bands": Range(1, 1_024),
    "stride": Range(1, 64),
    "fewest": Range(1, 4_096),
    "window_seconds": Range(1, 3_600),
    "low_hz": Range(0, 1_000_000),
    "high_hz": Range(0, 1_000_000, above=True),
    "log_offset": Range(0, above=True),
    "variance_floor": Range(0),
}


class SettingsFrontend:
    """A front end whose settings are the fields of a dataclass.

    A class names its ``kind``, by which :func:`~quantkit.audio.frontends.frontend_from_json` knows
    it.
    """

    kind: ClassVar[str]

    def to_json(self) -> str:
        """The JSON stored in an artifact's ``quantkit.frontend`` metadata."""
        return json.dumps({"kind": self.kind, **asdict(self)})  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: another kind, a missing or unknown field, a value of a wrong type or out of
                range, or values that contradict each other.
        """
        return _from_settings(cls, cls.kind, text)


class FramesFrontend(SettingsFrontend):
    """One whose frames are ``hop`` samples apart."""

    if TYPE_CHECKING:

        @property
        def sample_rate(self) -> int:
            """Of the waveform, in hertz."""

        @property
        def hop(self) -> int:
            """Samples between two frames."""

    def seconds_of(self, frames: int) -> float:
        """Duration in seconds that ``frames`` feature frames stand for."""
        return frames * self.hop / self.sample_rate


def _from_settings(cls: type[T], kind: str, text: str) -> T:
    """See :meth:`SettingsFrontend.from_json`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{_WHERE} are not readable: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise FormatError(f"{_WHERE} are not readable: their kind is not {kind!r}")
    # Whether it is part of the graph is said of the artifact, not of the front end.
    own = {name: value for name, value in content.items() if name not in ("kind", "fused")}
    for field in fields(cls):  # type: ignore[arg-type]
        if field.name not in own:
            raise FormatError(f"{_WHERE}: {field.name} is missing")
    frontend = build(cls, own, _WHERE, RANGES)
    if problem := _contradiction(frontend):
        raise FormatError(f"{_WHERE}: {problem}")
    return frontend


def _contradiction(frontend: object) -> str:
    """What makes settings impossible that are possible one by one."""
    # Where a clip must be longer than a frame, the two have a name each.
    window = getattr(frontend, "frame", getattr(frontend, "window", 0))
    fft_size = getattr(frontend, "fft_size", window)
    if fft_size < window:
        return f"fft_size must be at least the window of {window}"
    if getattr(frontend, "hop", 1) > window:
        return f"hop must be at most the window of {window}"
    low, high = getattr(frontend, "low_hz", 0.0), getattr(frontend, "high_hz", 1.0)
    return "" if low < high else "low_hz must be below high_hz"

"""What a Moonshine's artifact says of its decoding (metadata entry ``quantkit.moonshine``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from quantkit.errors import FormatError
from quantkit.json_dataclass import build
from quantkit.json_fields import parse_json
from quantkit.runtime.settings_entry import settings_entry

#: Name of the entry, in ``ArtifactInfo.extra``.
MOONSHINE = "moonshine"


@dataclass(frozen=True)
class MoonshineSettings:
    """How a text begins and how long it may be.

    Args:
        start: the token that every text follows.
        tokens_per_second: of the longest text. The model says more only where it repeats itself
            (Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice
            Commands", 2024, section 4.3).
    """

    start: int = 1
    tokens_per_second: float = 6.5

    def longest_text(self, seconds: float) -> int:
        """Tokens of the longest text of a clip.

        >>> MoonshineSettings().longest_text(2.0)
        13
        """
        return max(1, round(self.tokens_per_second * seconds))

    def to_json(self) -> str:
        """The metadata entry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> MoonshineSettings:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = f"`quantkit.{MOONSHINE}`"
        found = build(cls, parse_json(text, where), where)
        if found.start < 0 or not found.tokens_per_second > 0:
            raise FormatError(f"{where} allows no text")
        return found


def moonshine_settings(extra: Mapping[str, str]) -> MoonshineSettings:
    """Those in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.

    Raises:
        ModelError: there are none, or they are damaged.
    """
    return settings_entry(
        extra, MOONSHINE, MoonshineSettings.from_json, "how it is decoded", "quantkit export"
    )

"""Moonshine artifacts: clips in, English text out."""

from __future__ import annotations

from typing import ClassVar

from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.encoder_decoder.model import GreedyModel
from quantkit.runtime.encoder_decoder.network import Network
from quantkit.runtime.moonshine.settings import moonshine_settings
from quantkit.text.decoding import Decoding


class MoonshineModel(GreedyModel):
    """A Moonshine that is ready to run."""

    kind: ClassVar[str] = "a Moonshine"

    def __init__(
        self, info: ArtifactInfo, network: Network, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info, network, decoding)
        self.settings = moonshine_settings(info.extra)

    def prompt(self, language: str = "") -> tuple[int, ...]:
        """The start of every text."""
        return (self.settings.start,)

    def longest_text(self, seconds: float) -> int:
        """See :meth:`~quantkit.runtime.moonshine.settings.MoonshineSettings.longest_text`."""
        return self.settings.longest_text(seconds)

"""Canary artifacts: clips in, text out in the language that is asked for."""

from __future__ import annotations

from typing import ClassVar

from quantkit.errors import InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.canary.settings import canary_settings
from quantkit.runtime.encoder_decoder.model import GreedyModel
from quantkit.runtime.encoder_decoder.network import Network
from quantkit.text.decoding import Decoding


class CanaryModel(GreedyModel):
    """A Canary that is ready to run.

    Args:
        decoding: greedy search; what is spoken (otherwise what a clip of a corpus says, or
            English), what is written (otherwise the same), and whether with punctuation.

    Raises:
        InputError: a decoder or a language that it has not, or a translation into two languages.
    """

    kind: ClassVar[str] = "a Canary"

    def __init__(
        self, info: ArtifactInfo, network: Network, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info, network, decoding)
        self.settings = canary_settings(info.extra)
        asked = decoding or Decoding()
        if asked.translate and asked.target_language not in ("", "en"):
            raise InputError(
                "--translate is into English, and --target-language names "
                f"{asked.target_language!r}: give one of them"
            )
        self._source = asked.language
        self._target = "en" if asked.translate else asked.target_language
        self._punctuated = asked.punctuation
        if len(self.labels.tokens) <= max(self.prompt()):
            raise ModelError("the prompt has tokens that the model has not (`quantkit.canary`)")

    @property
    def decoder_in_words(self) -> str:
        """Greedy, and what else was asked for."""
        words = "greedy"
        words += f", language {self._source}" if self._source else ""
        words += f", into {self._target}" if self._target else ""
        return words if self._punctuated else f"{words}, no punctuation"

    def prompt(self, language: str = "") -> tuple[int, ...]:
        """What is spoken, what is to be written and how.

        Args:
            language: where the settings name none; one that the model does not know is ignored.
        """
        spoken = language if language in self.settings.languages else self.settings.usual
        source = self._source or spoken
        return self.settings.prompt_of(source, self._target or source, punctuated=self._punctuated)

    def longest_text(self, seconds: float) -> int:
        """See :meth:`~quantkit.runtime.canary.settings.CanarySettings.longest_text`."""
        return self.settings.longest_text(seconds)

    @classmethod
    def languages_of(cls, info: ArtifactInfo) -> frozenset[str]:
        """All that have a token."""
        return frozenset(canary_settings(info.extra).languages)

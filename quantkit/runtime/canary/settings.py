"""What a Canary's artifact says of its decoding (metadata entry ``quantkit.canary``)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from quantkit.errors import FormatError, InputError
from quantkit.json_dataclass import build
from quantkit.json_fields import parse_json
from quantkit.runtime.settings_entry import settings_entry

#: Name of the entry, in ``ArtifactInfo.extra``.
CANARY = "canary"


@dataclass(frozen=True)
class CanarySettings:
    """What the decoder is told before a text, and how long the text may be.

    Args:
        prompt: tokens; those at the three places below are of English with punctuation.
        source, target, punctuation: places in ``prompt`` of the language that is spoken, of the
            language that is written, and of whether to write signs and upper case.
        languages: the token of each code.
        unpunctuated: the token for neither signs nor upper case.
        positions: tokens that the decoder reads at most, the prompt included.
        tokens_per_second, tokens_more: of the longest text, as many as the encoder gives steps, and
            50 more: what NeMo stops at.
    """

    prompt: tuple[int, ...]
    source: int
    target: int
    punctuation: int
    languages: dict[str, int]
    unpunctuated: int
    positions: int = 1_024
    tokens_per_second: float = 12.5
    tokens_more: int = 50

    def prompt_of(self, source: str, target: str, *, punctuated: bool = True) -> tuple[int, ...]:
        """The tokens that stand before a text.

        Args:
            source: code of the language that is spoken.
            target: of the one that is written; another is a translation.

        Raises:
            InputError: a language that the model does not know.
        """
        prompt = [*self.prompt]
        prompt[self.source], prompt[self.target] = self._token(source), self._token(target)
        if not punctuated:
            prompt[self.punctuation] = self.unpunctuated
        return tuple(prompt)

    def longest_text(self, seconds: float) -> int:
        """Tokens of the longest text of a clip."""
        wanted = round(self.tokens_per_second * seconds) + self.tokens_more
        return max(1, min(wanted, self.positions - len(self.prompt)))

    @property
    def usual(self) -> str:
        """The language that is taken for the spoken one where none is named: English."""
        return "en" if "en" in self.languages else next(iter(self.languages))

    def _token(self, language: str) -> int:
        if language not in self.languages:
            raise InputError(
                f"the model knows no language {language!r}; it knows {', '.join(self.languages)}"
            )
        return self.languages[language]

    def to_json(self) -> str:
        """The metadata entry."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> CanarySettings:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is damaged.
        """
        where = f"`quantkit.{CANARY}`"
        found = build(cls, parse_json(text, where), where)
        places = {found.source, found.target, found.punctuation}
        if not found.languages or len(places) < 3 or not places < {*range(len(found.prompt))}:
            raise FormatError(f"{where}: the prompt has no place for languages or punctuation")
        tokens = (*found.prompt, *found.languages.values(), found.unpunctuated)
        if min(tokens) < 0 or found.positions <= len(found.prompt):
            raise FormatError(f"{where} allows no text")
        return found


def canary_settings(extra: Mapping[str, str]) -> CanarySettings:
    """Those in :attr:`~quantkit.graph.info.ArtifactInfo.extra`.

    Raises:
        ModelError: there are none, or they are damaged.
    """
    return settings_entry(
        extra, CANARY, CanarySettings.from_json, "how it is decoded", "quantkit export"
    )

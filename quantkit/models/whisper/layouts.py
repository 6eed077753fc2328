"""Ids of the tokens that steer a Whisper, where its files do not name them.

There are three published vocabularies: of the English-only models, of the multilingual ones, and
of large-v3 and turbo, which know Cantonese too. They differ in where the text ends and in how many
languages follow; the order is the same in all.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from transformers.models.whisper.configuration_whisper import (
    NON_SPEECH_TOKENS,
    NON_SPEECH_TOKENS_MULTI,
)
from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

from quantkit.text.whisper_names import (
    END,
    ENGLISH_ONLY_END,
    NO_SPEECH,
    NO_TIMESTAMPS,
    PREVIOUS,
    START,
    TRANSCRIBE,
    TRANSLATE,
)
from quantkit.text.whisper_vocabulary import TIMESTAMP_COUNT

# Of every Whisper before large-v3.
_FIRST_LANGUAGES = 99
# The text token that is nothing but a space, in all of them.
_SPACE = 220
# As the first release called it, by the code that ISO 639 had until 1989.
_HEBREW = "<|iw|>"


@dataclass(frozen=True)
class Layout:
    """A published vocabulary.

    Args:
        end: id of ``<|endoftext|>``, which follows the text tokens.
        languages: how many there are.
        non_speech: ids of text tokens that write no speech, which are never sampled.
        mel_bands: of the models that have it.
    """

    end: int
    languages: int
    non_speech: tuple[int, ...]
    mel_bands: int = 80

    @property
    def names(self) -> dict[int, str]:
        """The names of the tokens from ``end`` on, without the times."""
        codes = list(LANGUAGES)[: self.languages]
        names = [END, START, *(f"<|{code}|>" for code in codes), TRANSLATE, TRANSCRIBE]
        names += ["<|startoflm|>", PREVIOUS, NO_SPEECH[0], NO_TIMESTAMPS]
        return dict(enumerate(names, start=self.end))

    @property
    def named(self) -> int:
        """Tokens with a name: all but the times."""
        return self.end + len(self.names)

    @property
    def size(self) -> int:
        """All tokens."""
        return self.named + TIMESTAMP_COUNT

    @property
    def suppressed_first(self) -> list[int]:
        """No text begins with a lone space, and none is empty."""
        return [_SPACE, self.end]

    def agrees_with(self, names: Mapping[int, str]) -> bool:
        """Whether ``names`` have each of these tokens in its place, or not at all."""
        own = self.names
        place = {name: index for index, name in own.items()}
        place |= dict.fromkeys(NO_SPEECH, place[NO_SPEECH[0]])
        place[_HEBREW] = place[f"<|{TO_LANGUAGE_CODE['hebrew']}|>"]
        return all(place.get(name, index) == index for index, name in names.items()) and not any(
            names.get(index) and place.get(names[index]) != index for index in own
        )


def _layout(end: int, languages: int, non_speech: list[int], mel_bands: int = 80) -> Layout:
    return Layout(end, languages, tuple(token for token in non_speech if token < end), mel_bands)


LAYOUTS = (
    _layout(ENGLISH_ONLY_END, _FIRST_LANGUAGES, NON_SPEECH_TOKENS),
    _layout(ENGLISH_ONLY_END + 1, _FIRST_LANGUAGES, NON_SPEECH_TOKENS_MULTI),
    _layout(ENGLISH_ONLY_END + 1, _FIRST_LANGUAGES + 1, NON_SPEECH_TOKENS_MULTI, 128),
)


def layout_of(names: Mapping[int, str], outputs: int, mel_bands: int) -> Layout | None:
    """The one layout that names, outputs and bands of a model allow; None for none or several.

    A model of 128 bands is a large-v3 or made from one, unless its names say otherwise.
    """
    text_ends = next(i for i in itertools.count() if names.get(i, "<|").startswith("<|"))
    fits = [
        layout
        for layout in LAYOUTS
        if layout.agrees_with(names)
        and outputs >= layout.named
        # Where no name says it, the number of text tokens tells the English-only vocabulary.
        and (END in names.values() or text_ends == layout.end)
    ]
    if len(fits) > 1:
        fits = [layout for layout in fits if layout.mel_bands == mel_bands]
    return fits[0] if len(fits) == 1 else None

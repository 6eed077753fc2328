"""Whisper's tokens: pieces of text as bytes, and those that steer the decoder."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import Fields, Range, parse_json
from quantkit.text.byte_labels import gpt2_alphabet

#: Seconds from one timestamp token to the next.
TIMESTAMP_STEP = 0.02
#: What the model hears at a time.
WINDOW_SECONDS = 30
#: Tokens that the decoder reads for it at most: the text before, the prompt and the text.
DECODER_POSITIONS = 448

# Several times what the 50,257 text tokens of Whisper take.
_MOST_BYTES = 1 << 22

#: Beyond any vocabulary: of the published ones, the largest has 51,866 tokens.
LARGEST_VOCABULARY = 1 << 20
#: Of those in a window of 30 seconds, with both of its ends.
TIMESTAMP_COUNT = 1 + round(WINDOW_SECONDS / TIMESTAMP_STEP)


@dataclass(frozen=True)
class WhisperVocabulary:
    """What the decoder's tokens mean.

    Ids below ``end`` are pieces of text; :data:`TIMESTAMP_COUNT` ids from ``timestamps`` on are
    times in the window, in steps of :data:`TIMESTAMP_STEP`. Words that were added in fine-tuning
    have ids of their own. Whatever is left has no meaning, and pads the outputs of the model.

    >>> vocabulary = WhisperVocabulary((b" caf", b"\\xc3", b"\\xa9"), 3, 4, 5, 6, 7, 8)
    >>> vocabulary.decode([0, 1, 2, 3])
    ' café'

    Args:
        pieces: bytes of each text token, as long as ``end``.
        end: stops the text.
        start: begins every prompt.
        previous: begins the text of the window before.
        no_speech: says that nobody speaks.
        no_timestamps: asks for text without times.
        timestamps: the time 0; -1 for a model without times.
        languages: token of each language by its code; empty for an English-only model.
        transcribe, translate: tokens of the two tasks; -1 for an English-only model.
        suppressed: never sampled.
        suppressed_first: not sampled as the first token of a text.
        outputs: of the model; 0 for those of a vocabulary that ends with the times.
        added: bytes of the text tokens beyond ``end``; of one that is not printed, none.
        language: of clips whose language nobody names; empty: it is detected.
    """

    #: In the JSON of :meth:`to_json`.
    kind: ClassVar[str] = "whisper"

    pieces: tuple[bytes, ...]
    end: int
    start: int
    previous: int
    no_speech: int
    no_timestamps: int
    timestamps: int
    languages: Mapping[str, int] | None = None
    transcribe: int = -1
    translate: int = -1
    suppressed: tuple[int, ...] = ()
    suppressed_first: tuple[int, ...] = ()
    outputs: int = 0
    added: Mapping[int, bytes] = field(default_factory=dict)
    language: str = ""

    @property
    def size(self) -> int:
        """Outputs of the model."""
        return self.outputs or self.timestamps + TIMESTAMP_COUNT

    @property
    def times(self) -> range:
        """Tokens of times; empty for a model without them."""
        first = self.timestamps
        return range(first, first + TIMESTAMP_COUNT) if first >= 0 else range(0)

    def language_of(self, token: int) -> str:
        """The code of a language's token; empty for any other."""
        return next((code for code, each in (self.languages or {}).items() if each == token), "")

    def __post_init__(self) -> None:
        if len(self.pieces) != self.end:
            raise InputError(f"{len(self.pieces)} text tokens, but the text ends with {self.end}")

    @property
    def is_multilingual(self) -> bool:
        """Whether prompts name a language and a task."""
        return bool(self.languages)

    def prompt(
        self, language: str = "en", *, translate: bool = False, timestamps: bool = False
    ) -> list[int]:
        """What the decoder is given before the text.

        Args:
            language: a code such as ``de``; an English-only model takes ``en`` or nothing.
            translate: into English, instead of writing down what is said.
            timestamps: whether times are wanted.

        Raises:
            InputError: a language that the model does not know, a translation into the language
                that it is, or times of a model without them.
        """
        if timestamps and not self.times:
            raise InputError("the model has no tokens for times: leave out --timestamps")
        tokens = [self.start]
        if self.languages:
            if language not in self.languages:
                raise InputError(
                    f"the model knows no language {language!r}; it knows "
                    f"{', '.join(sorted(self.languages))}"
                )
            tokens += [self.languages[language], self.translate if translate else self.transcribe]
        elif translate or language not in ("", "en"):
            wanted = "translate" if translate else f"write {language!r}"
            raise InputError(f"the model is English-only and cannot {wanted}")
        return tokens if timestamps else [*tokens, self.no_timestamps]

    def decode(self, tokens: Iterable[int]) -> str:
        """Text of tokens; those that steer the decoder are left out."""
        return b"".join(map(self.content, tokens)).decode("utf-8", errors="replace")

    def content(self, token: int) -> bytes:
        """What a token adds to a text; nothing, of one that steers the decoder."""
        return self.pieces[token] if 0 <= token < self.end else self.added.get(token, b"")

    def to_json(self) -> str:
        """The form that is stored in an artifact's ``quantkit.vocabulary`` metadata.

        The text tokens are lines of GPT-2's printable characters, compressed by zlib and written
        in base64.
        """
        lines = "\n".join(map(spelled_in_gpt2, self.pieces))
        content: dict[str, Any] = {
            "kind": self.kind,
            "pieces": base64.b64encode(zlib.compress(lines.encode(), 9)).decode(),
            **{name: getattr(self, name) for name in _NUMBERS},
            "languages": dict(self.languages or {}),
            "suppressed": list(self.suppressed),
            "suppressed_first": list(self.suppressed_first),
        }
        # Entries that published models do not need, so that their artifacts stay what they were.
        if self.outputs:
            content["outputs"] = self.outputs
        if self.added:
            content["added"] = {token: spelled_in_gpt2(each) for token, each in self.added.items()}
        if self.language:
            content["language"] = self.language
        return json.dumps(content)

    @classmethod
    def from_json(cls, text: str) -> WhisperVocabulary:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: not the JSON that :meth:`to_json` writes.
        """
        where = "the vocabulary"
        content = Fields(parse_json(text, where), where)
        languages = content.child("languages")
        added = Fields(content.table("added", {}), f"{where}: added")
        try:
            lines = _inflated(base64.b64decode(content.text("pieces"))).decode().split("\n")
            return cls(
                pieces=tuple(map(bytes_of_gpt2, lines)),
                **{name: content.whole(name) for name in _NUMBERS},
                languages={name: languages.whole(name) for name in languages.names()} or None,
                suppressed=content.wholes("suppressed"),
                suppressed_first=content.wholes("suppressed_first"),
                outputs=content.whole("outputs", 0, Range(0, LARGEST_VOCABULARY)),
                added={int(token): bytes_of_gpt2(added.text(token)) for token in added.names()},
                language=content.text("language", ""),
            )
        except FormatError:
            raise
        except (ValueError, KeyError, zlib.error) as error:
            raise FormatError(f"{where} is not readable: {error}") from error


_NUMBERS = (
    "end",
    "start",
    "previous",
    "no_speech",
    "no_timestamps",
    "timestamps",
    "transcribe",
    "translate",
)


def bytes_of_gpt2(spelled: str) -> bytes:
    """The bytes that GPT-2's characters stand for; KeyError for another one."""
    to_byte = gpt2_alphabet()
    return bytes(to_byte[character] for character in spelled)


def spelled_in_gpt2(content: bytes) -> str:
    """Bytes in the printable characters that GPT-2 maps them to."""
    characters = _characters()
    return "".join(characters[byte] for byte in content)


@lru_cache
def _characters() -> dict[int, str]:
    return {byte: character for character, byte in gpt2_alphabet().items()}


def _inflated(packed: bytes) -> bytes:
    """The bytes that zlib packed, if they are no more than the pieces of a vocabulary."""
    stream = zlib.decompressobj()
    content = stream.decompress(packed, _MOST_BYTES)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("the text tokens are cut off, or inflate to more than any vocabulary")
    return content

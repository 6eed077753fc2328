"""Whisper's tokens: pieces of text as bytes, and those that steer the decoder."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from quantkit.errors import FormatError, InputError
from quantkit.json_fields import Fields, parse_json
from quantkit.text.byte_labels import gpt2_alphabet

#: Seconds from one timestamp token to the next.
TIMESTAMP_STEP = 0.02
#: What the model hears at a time.
WINDOW_SECONDS = 30
#: Tokens that the decoder reads for it at most: the text before, the prompt and the text.
DECODER_POSITIONS = 448

# Several times what the 50,257 text tokens of Whisper take.
_MOST_BYTES = 1 << 22

_END, _START = "<|endoftext|>", "<|startoftranscript|>"
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
# Older vocabularies call the token for silence "nocaptions".
_NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")


@dataclass(frozen=True)
class WhisperVocabulary:
    """What the decoder's tokens mean.

    Ids below ``end`` are pieces of text; those from ``timestamps`` on are times in the window, in
    steps of :data:`TIMESTAMP_STEP`.

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
        timestamps: the time 0.
        languages: token of each language by its code; empty for an English-only model.
        transcribe, translate: tokens of the two tasks; -1 for an English-only model.
        suppressed: never sampled.
        suppressed_first: not sampled as the first token of a text.
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

    @property
    def size(self) -> int:
        """All tokens, with those of the times in a window of 30 seconds."""
        return self.timestamps + 1 + round(WINDOW_SECONDS / TIMESTAMP_STEP)

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

    @classmethod
    def from_names(
        cls,
        names: Sequence[str],
        suppressed: Iterable[int] = (),
        suppressed_first: Iterable[int] = (),
    ) -> WhisperVocabulary:
        """Read the names of all tokens, in the order of their ids, as tokenizers store them.

        Text is spelled in the printable characters that GPT-2 maps bytes to.

        Raises:
            FormatError: a token that steers the decoder is missing, or a text token is not
                spelled in those characters.
        """
        ids = {name: index for index, name in enumerate(names)}

        def token(*known: str) -> int:
            found = next((ids[name] for name in known if name in ids), None)
            if found is None:
                raise FormatError(f"the vocabulary has no token {known[0]}: it is not Whisper's")
            return found

        end = token(_END)
        first = token("<|translate|>")
        languages = {
            match[1]: index
            for name, index in ids.items()
            if end < index < first and (match := _LANGUAGE.fullmatch(name))
        }
        # The tokens of languages are there, but an English-only model was never trained on them.
        is_multilingual = end > 50_256
        to_byte = gpt2_alphabet()
        try:
            pieces = tuple(bytes(to_byte[c] for c in name) for name in names[:end])
        except KeyError as error:
            raise FormatError(
                f"a text token holds {error.args[0]!r}: the vocabulary is not Whisper's"
            ) from None
        no_timestamps = token("<|notimestamps|>")
        return cls(
            pieces=pieces,
            end=end,
            start=token(_START),
            previous=token("<|startofprev|>"),
            no_speech=token(*_NO_SPEECH),
            no_timestamps=no_timestamps,
            timestamps=no_timestamps + 1,
            languages=languages if is_multilingual else None,
            transcribe=token("<|transcribe|>") if is_multilingual else -1,
            translate=first if is_multilingual else -1,
            suppressed=tuple(sorted({*suppressed} - {end, -1})),
            suppressed_first=tuple(suppressed_first),
        )

    def prompt(
        self, language: str = "en", *, translate: bool = False, timestamps: bool = False
    ) -> list[int]:
        """What the decoder is given before the text.

        Args:
            language: a code such as ``de``; an English-only model takes ``en`` or nothing.
            translate: into English, instead of writing down what is said.
            timestamps: whether times are wanted.

        Raises:
            InputError: a language that the model does not know, or a translation into the
                language that it is.
        """
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
        content = b"".join(self.pieces[token] for token in tokens if 0 <= token < self.end)
        return content.decode("utf-8", errors="replace")

    def to_json(self) -> str:
        """The form that is stored in an artifact's ``quantkit.vocabulary`` metadata.

        The text tokens are lines of GPT-2's printable characters, compressed by zlib and written
        in base64.
        """
        character_of = {byte: character for character, byte in gpt2_alphabet().items()}
        lines = "\n".join("".join(character_of[byte] for byte in piece) for piece in self.pieces)
        content: dict[str, Any] = {
            "kind": self.kind,
            "pieces": base64.b64encode(zlib.compress(lines.encode(), 9)).decode(),
            **{name: getattr(self, name) for name in _NUMBERS},
            "languages": dict(self.languages or {}),
            "suppressed": list(self.suppressed),
            "suppressed_first": list(self.suppressed_first),
        }
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
        try:
            lines = _inflated(base64.b64decode(content.text("pieces"))).decode().split("\n")
            to_byte = gpt2_alphabet()
            return cls(
                pieces=tuple(bytes(to_byte[c] for c in line) for line in lines),
                **{name: content.whole(name) for name in _NUMBERS},
                languages={name: languages.whole(name) for name in languages.names()} or None,
                suppressed=content.wholes("suppressed"),
                suppressed_first=content.wholes("suppressed_first"),
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


def _inflated(packed: bytes) -> bytes:
    """The bytes that zlib packed, if they are no more than the pieces of a vocabulary."""
    stream = zlib.decompressobj()
    content = stream.decompress(packed, _MOST_BYTES)
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError("the text tokens are cut off, or inflate to more than any vocabulary")
    return content

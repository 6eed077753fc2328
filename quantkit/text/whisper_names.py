"""The vocabulary of a Whisper from the names of its tokens, as tokenizers store them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

from quantkit.errors import FormatError
from quantkit.text.whisper_vocabulary import (
    TIMESTAMP_COUNT,
    WhisperVocabulary,
    bytes_of_gpt2,
)

#: Names of tokens that steer the decoder.
END, START, PREVIOUS = "<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>"
TRANSLATE, TRANSCRIBE = "<|translate|>", "<|transcribe|>"
NO_TIMESTAMPS, FIRST_TIMESTAMP = "<|notimestamps|>", "<|0.00|>"
#: Older vocabularies call the token for silence "nocaptions".
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")
#: ``<|endoftext|>`` of the published English-only vocabulary; each other names languages.
ENGLISH_ONLY_END = 50_256
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
_TIMESTAMP = re.compile(r"<\|\d+\.\d\d\|>")
_STEERS = re.compile(r"<\|.*\|>")


def vocabulary_of_names(
    names: Mapping[int, str],
    suppressed: Iterable[int] = (),
    suppressed_first: Iterable[int] = (),
    *,
    outputs: int = 0,
    literal: Collection[int] = (),
    silent: Collection[int] = (),
    language: str = "",
) -> WhisperVocabulary:
    """Read the names of tokens by their ids, as tokenizers store them.

    Text is spelled in the printable characters that GPT-2 maps bytes to. Times may lack names.

    Args:
        outputs: of the model; 0 for those of a vocabulary that ends with the times.
        literal: ids of text tokens that are spelled as they are.
        silent: ids of tokens that are not printed.
        language: see the class; one that the vocabulary lacks is ignored.

    Raises:
        FormatError: a token that steers the decoder is missing, or a text token is not
            spelled in those characters.
    """
    ids: dict[str, int] = {}
    for index, name in names.items():
        ids.setdefault(name, index)

    def token(*known: str) -> int:
        found = next((ids[name] for name in known if name in ids), None)
        if found is None:
            raise FormatError(f"the vocabulary has no token {known[0]}: it is not Whisper's")
        return found

    end = token(END)
    languages = {
        match[1]: index
        for name, index in ids.items()
        if index > end and (match := _LANGUAGE.fullmatch(name))
    }
    # The tokens of languages are there, but an English-only model was never trained on them.
    is_multilingual = bool(languages) and end != ENGLISH_ONLY_END
    tasks = [token(name) if is_multilingual else -1 for name in (TRANSCRIBE, TRANSLATE)]
    start, previous, no_speech = token(START), token(PREVIOUS), token(*NO_SPEECH)

    def content(index: int) -> bytes:
        return _content(names.get(index, ""), is_literal=index in literal)

    no_timestamps = token(NO_TIMESTAMPS)
    first = ids.get(FIRST_TIMESTAMP, no_timestamps + 1)
    is_timed = _has_times(names, first, outputs)
    steering = {*range(end, no_timestamps + 1), *languages.values(), *tasks}
    steering |= {start, previous, no_speech}
    words = (
        index
        for index, name in names.items()
        if name and index not in steering and not _TIMESTAMP.fullmatch(name)
    )
    size = outputs or first + TIMESTAMP_COUNT
    return WhisperVocabulary(
        pieces=tuple(content(index) for index in range(end)),
        end=end,
        start=start,
        previous=previous,
        no_speech=no_speech,
        no_timestamps=no_timestamps,
        timestamps=first if is_timed else -1,
        languages=languages if is_multilingual else None,
        transcribe=tasks[0],
        translate=tasks[1],
        suppressed=tuple(sorted({i for i in suppressed if 0 <= i < size} - {end})),
        suppressed_first=tuple(i for i in suppressed_first if 0 <= i < size),
        outputs=0 if is_timed and size == first + TIMESTAMP_COUNT else size,
        added={
            index: b"" if index in silent or _STEERS.fullmatch(names[index]) else content(index)
            for index in words
            if end < index < size
        },
        language=language if is_multilingual and language in languages else "",
    )


def _has_times(names: Mapping[int, str], first: int, outputs: int) -> bool:
    """Whether the model has all times, and none of their ids was given to a word."""
    times = range(first, first + TIMESTAMP_COUNT)
    return (not outputs or times.stop <= outputs) and all(
        not (name := names.get(index)) or _TIMESTAMP.fullmatch(name) for index in times
    )


def _content(name: str, *, is_literal: bool) -> bytes:
    if is_literal:
        return name.encode("utf-8", errors="replace")
    try:
        return bytes_of_gpt2(name)
    except KeyError as error:
        raise FormatError(
            f"a text token holds {error.args[0]!r}: the vocabulary is not Whisper's"
        ) from None

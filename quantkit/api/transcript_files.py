"""Transcripts as texts of several forms: plain, JSON, subtitles, a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from quantkit.disk.files import write_text
from quantkit.errors import InputError
from quantkit.runtime.transcriber import Transcript
from quantkit.text.captions import CAPTION_FORMS

_SUFFIXES = {"text": ".txt", "json": ".json"}


def _plain(transcript: Transcript) -> str:
    return f"{transcript.text}\n"


def _json(transcript: Transcript) -> str:
    return json.dumps(transcript.to_dict(), ensure_ascii=False) + "\n"


def _captioned(name: str) -> Callable[[Transcript], str]:
    return lambda transcript: CAPTION_FORMS[name](transcript.captions())


#: What writes a transcript, by the name of its form.
FORMS: Mapping[str, Callable[[Transcript], str]] = {
    "text": _plain,
    "json": _json,
    **{name: _captioned(name) for name in CAPTION_FORMS},
}


def file_names(clips: Iterable[Path], form: str) -> list[str]:
    """A name for the text of each clip: its own, with the ending of the form.

    >>> file_names([Path("calls/one.wav")], "srt")
    ['one.srt']

    Raises:
        InputError: two clips have the same name.
    """
    suffix = _SUFFIXES.get(form, f".{form}")
    found: dict[str, Path] = {}
    for clip in clips:
        name = clip.with_suffix(suffix).name
        if name in found:
            raise InputError(
                f"the texts of {found[name]} and {clip} would both be called {name}; transcribe "
                "them into different folders"
            )
        found[name] = clip
    return [*found]


def write_transcript(transcript: Transcript, path: Path, form: str) -> None:
    """Write one text, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, FORMS[form](transcript))

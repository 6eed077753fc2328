"""Options that choose among the utterances of a corpus, the same for every command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

_CODE = re.compile("[a-z]{2,3}")

_OPTIONS = (
    click.option("--speaker", help="Only this speaker's clips."),
    click.option("--gender", type=click.Choice(["f", "m"]), help="Only women's or men's clips."),
    click.option(
        "--language",
        help="Only clips in this language, such as en; all, where none says which it is in.",
    ),
    click.option(
        "--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Only shorter clips."
    ),
)


def corpus_options(command: F) -> F:
    """Add ``--speaker``, ``--gender``, ``--language`` and ``--max-seconds`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_selected(
    folder: Path,
    speaker: str | None,
    gender: str | None,
    language: str | None,
    max_seconds: float | None,
) -> Corpus:
    """Open a corpus of any layout and keep the utterances that were asked for.

    Where no clip says its language, all are in the one that is named.

    Raises:
        CorpusError: the folder is no corpus, or nothing matches.
        InputError: all clips shall be in a language that is no code of one.
    """
    corpus = open_corpus(folder)
    if language is not None and not corpus.values("language"):
        if not _CODE.fullmatch(language):
            raise InputError(f"--language takes a code such as en or de, not {language!r}")
        corpus = corpus.spoken_in(language)
    if (speaker, gender, language, max_seconds) == (None, None, None, None):
        return corpus
    return corpus.select(
        speaker=speaker,
        gender=gender,
        language=language,
        max_seconds=float("inf") if max_seconds is None else max_seconds,
    )

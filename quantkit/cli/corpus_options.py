"""Options that choose among the utterances of a corpus, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--speaker", help="Only this speaker's clips."),
    click.option("--gender", type=click.Choice(["f", "m"]), help="Only women's or men's clips."),
    click.option("--language", help="Only clips in this language, such as en."),
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

    Raises:
        CorpusError: the folder is no corpus, or nothing matches.
    """
    corpus = open_corpus(folder)
    if (speaker, gender, language, max_seconds) == (None, None, None, None):
        return corpus
    return corpus.select(
        speaker=speaker,
        gender=gender,
        language=language,
        max_seconds=float("inf") if max_seconds is None else max_seconds,
    )

"""Options that choose among the utterances of a corpus, the same for every command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

_CODE = re.compile("[a-z]{2,3}")

_OPTIONS = (
    click.option(
        "--speaker", multiple=True, metavar="NAME", help="Only this speaker's clips; repeatable."
    ),
    click.option(
        "--gender",
        multiple=True,
        type=click.Choice(["f", "m"]),
        help="Only women's or men's clips; repeatable.",
    ),
    click.option(
        "--language",
        multiple=True,
        metavar="CODE",
        help="Only clips in this language, such as en; all, where none says which it is in; "
        "repeatable.",
    ),
    click.option(
        "--max-seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Only shorter clips.",
    ),
)


def split_option(usual: str) -> Callable[[F], F]:
    """``--split`` of a command that takes the split ``usual`` where a corpus has it."""
    return click.option(
        "--split",
        multiple=True,
        metavar="NAME",
        help=f"Split of the corpus, or all; repeatable.  [default: {usual}, where there is one]",
    )


def corpus_options(command: F) -> F:
    """Add ``--speaker``, ``--gender``, ``--language`` and ``--max-seconds`` to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def open_selected(
    folder: Path,
    speaker: Sequence[str],
    gender: Sequence[str],
    language: Sequence[str],
    max_seconds: float | None,
) -> Corpus:
    """Open a corpus of any layout and keep the utterances that were asked for.

    Of a speaker, gender or language, several may be named; none stands for all. Where no clip says
    its language, all are in the one that is named.

    Raises:
        CorpusError: the folder is no corpus, or nothing matches.
        InputError: all clips shall be in a language that is no code of one, or in several.
    """
    corpus = open_corpus(folder)
    if language and not corpus.values("language"):
        if len(language) > 1:
            raise InputError(f"no clip of {folder} says its language; give --language once")
        if not _CODE.fullmatch(language[0]):
            raise InputError(f"--language takes a code such as en or de, not {language[0]!r}")
        corpus = corpus.spoken_in(language[0])
    if not (speaker or gender or language or max_seconds):
        return corpus
    return corpus.select(
        speaker=speaker or None,
        gender=gender or None,
        language=language or None,
        max_seconds=float("inf") if max_seconds is None else max_seconds,
    )

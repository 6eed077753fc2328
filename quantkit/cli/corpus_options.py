"""Options that choose among the utterances of a corpus, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from quantkit.audio.selection import Selection
from quantkit.cli.option_groups import option_group

F = TypeVar("F", bound=Callable[..., Any])

#: ``--speaker``, ``--gender``, ``--language`` and ``--max-seconds``.
OPTIONS = (
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


@dataclass(frozen=True)
class CorpusOptions:
    """Values of the options above."""

    speaker: tuple[str, ...]
    gender: tuple[str, ...]
    language: tuple[str, ...]
    max_seconds: float | None

    def selection(self, split: tuple[str, ...] = (), clips: int | None = None) -> Selection:
        """What they choose, of some splits and so many clips of them."""
        return Selection(split, self.speaker, self.gender, self.language, self.max_seconds, clips)


def split_option(usual: str) -> Callable[[F], F]:
    """``--split`` of a command that takes the split ``usual`` where a corpus has it."""
    return click.option(
        "--split",
        multiple=True,
        metavar="NAME",
        help=f"Split of the corpus, or all; repeatable.  [default: {usual}, where there is one]",
    )


def corpus_options(command: F) -> F:
    """Add the options; the command receives ``corpus``, a :class:`CorpusOptions`."""
    return option_group(CorpusOptions, "corpus", OPTIONS)(command)

"""Options that say which unlabelled clips a command hears."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.audio.utterance import Corpus
from quantkit.calibration.feeds import Feeds
from quantkit.cli.corpus_options import corpus_options, open_selected, split_option
from quantkit.cli.outputs import check_outputs
from quantkit.graph.artifact import read_info

F = TypeVar("F", bound=Callable[..., Any])

_CORPUS = ("speaker", "gender", "language", "max_seconds")


def audio_options(purpose: str, *, required: bool = False) -> Callable[[F], F]:
    """``--audio``, ``--split``, ``--clips`` and the options of corpora; see :func:`pop_feeds`.

    Args:
        purpose: what the clips are for, as the help goes on after "Folder of unlabelled clips".
        required: whether the command cannot do without.
    """
    options = (
        click.option(
            "--audio",
            required=required,
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help=f"Folder of unlabelled clips{purpose}.",
        ),
        split_option("calibration"),
        corpus_options,
        click.option(
            "--clips",
            type=click.IntRange(min=1),
            default=32,
            show_default=True,
            help="Hear at most this many of them, drawn with a fixed seed.",
        ),
    )

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def pop_feeds(
    options: dict[str, Any], model: Path, *, outputs: Iterable[Path | None]
) -> Feeds | None:
    """What ``model`` hears, removed from ``options``; None where no audio was named.

    Args:
        outputs: what the command will write; see :func:`~quantkit.cli.outputs.check_outputs`.

    Raises:
        CorpusError: the folder is no corpus, or nothing matches.
        ModelError: ``model`` cannot be read.
        InputError: one of ``outputs`` would replace a clip.
    """
    audio, split, clips = (options.pop(name) for name in ("audio", "split", "clips"))
    which = [options.pop(name) for name in _CORPUS]
    if audio is None:
        return None
    corpus = open_selected(audio, *which)
    check_outputs(outputs, (clip.path for clip in corpus))
    heard = corpus.part(split, usually="calibration").sample(clips)
    return Feeds.of(heard, read_info(model), model)


def clips_in_words(feeds: Feeds) -> str:
    """How many clips of which corpus are heard, for ``--dry-run``."""
    if not isinstance(feeds.source, Corpus):
        return "the given inputs"
    count = len(feeds.source)
    return f"{count} clip{'s' * (count != 1)} of {feeds.source.name}"


def name_left_out(feeds: Feeds) -> None:
    """Say how many clips could not be used, and why the first could not, if there are any."""
    unopened = feeds.source.skipped if isinstance(feeds.source, Corpus) else ()
    if reasons := (*unopened, *feeds.skipped):
        count = f"{len(reasons)} clip{'s' * (len(reasons) != 1)}"
        click.echo(f"  left out {count}; the first: {reasons[0]}", err=True)

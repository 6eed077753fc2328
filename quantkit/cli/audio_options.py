"""Options that say which unlabelled clips a command hears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.api.defaults import ANALYSIS_CLIPS, CALIBRATION_SPLIT
from quantkit.audio.selection import Selection
from quantkit.cli.corpus_options import OPTIONS, CorpusOptions, split_option
from quantkit.cli.framework.output import echo
from quantkit.cli.option_groups import option_group
from quantkit.report.left_out import left_out_in_words

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class AudioOptions(CorpusOptions):
    """Values of ``--audio``, ``--split``, ``--clips`` and the options of corpora."""

    audio: Path | None
    split: tuple[str, ...]
    clips: int

    @property
    def chosen(self) -> Selection:
        """Which of the clips."""
        return self.selection(self.split, self.clips)

    @property
    def required(self) -> Path:
        """The folder.

        Raises:
            click.UsageError: none was named.
        """
        if self.audio is None:
            raise click.UsageError("name a folder of unlabelled clips with --audio")
        return self.audio


def audio_options(
    purpose: str,
    *,
    required: bool = False,
    kind: str = "unlabelled",
    verb: str = "Hear",
    clips: int = ANALYSIS_CLIPS,
    split: str = CALIBRATION_SPLIT,
) -> Callable[[F], F]:
    """Add the options; the command receives ``audio``, an :class:`AudioOptions`.

    Args:
        purpose: what the clips are for, as the help goes on after "Folder of unlabelled clips".
        required: whether the command cannot do without.
        kind: of clips.
        verb: what is done with them.
        clips: how many are taken at most where nobody says.
        split: of the corpus that is taken, likewise.
    """
    options = (
        click.option(
            "--audio",
            required=required,
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help=f"Folder of {kind} clips{purpose}.",
        ),
        split_option(split),
        *OPTIONS,
        click.option(
            "--clips",
            type=click.IntRange(min=1),
            default=clips,
            show_default=True,
            help=f"{verb} at most this many of them, drawn with a fixed seed.",
        ),
    )
    return option_group(AudioOptions, "audio", options)


def name_left_out(reasons: Sequence[str]) -> None:
    """Say how many clips could not be used, which and why, if there are any."""
    if reasons:
        echo(f"  {left_out_in_words(reasons)}", err=True)

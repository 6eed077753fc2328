"""Options that divide clips into slices, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.audio.augmentation.alteration import NAMES
from quantkit.cli.option_groups import option_group

F = TypeVar("F", bound=Callable[..., Any])

#: ``--by``.
BY_OPTION = click.option(
    "--by",
    multiple=True,
    metavar="NAME,NAME",
    help="Divide clips by language, speaker, gender or any other column of the corpus; by length, "
    "level (loudness), noise (signal-to-noise ratio) or rate of speech, in thirds or at bounds "
    "such as length:5/20; and by words (first and last of clips, rare ones).",
)
#: ``--rare-words``.
RARE_WORDS_OPTION = click.option(
    "--rare-words",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Words whose errors are counted apart, one a line.  [default: those that are rare in the "
    "corpus]",
)


@dataclass(frozen=True)
class SliceOptions:
    """Values of the options above."""

    by: tuple[str, ...]
    rare_words: Path | None


def slice_options(command: F) -> F:
    """Add the options; the command receives ``slicing``, a :class:`SliceOptions`."""
    return option_group(SliceOptions, "slicing", (BY_OPTION, RARE_WORDS_OPTION))(command)


@dataclass(frozen=True)
class HeardSliceOptions(SliceOptions):
    """With values of ``--add`` and ``--add-seed``."""

    add: tuple[str, ...]
    add_seed: int


def heard_slice_options(command: F) -> F:
    """As :func:`slice_options`, and what clips are altered by to be compared once more."""
    options = (
        BY_OPTION,
        RARE_WORDS_OPTION,
        click.option(
            "--add",
            multiple=True,
            metavar="SOUND,SOUND",
            help=f"Compare once more with sounds added to the clips: {NAMES}; repeatable.",
        ),
        click.option(
            "--add-seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Of what is added.",
        ),
    )
    return option_group(HeardSliceOptions, "slicing", options)(command)

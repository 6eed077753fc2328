"""Options that choose how outputs become text, the same for every command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.text.decoders import DECODERS
from quantkit.text.decoding import TEMPERATURES, Decoding

F = TypeVar("F", bound=Callable[..., Any])


def decoder_options(default: str) -> Callable[[F], F]:
    """Add the options that :func:`pop_decoding` reads.

    Args:
        default: the decoder that is used when none is named.
    """
    options = (
        click.option(
            "--decoder",
            type=click.Choice(DECODERS),
            default=default,
            show_default=True,
            help="How outputs become text; Whisper takes greedy or beam.",
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(min=1),
            help="Hypotheses that beam search keeps.  [default: 20; Whisper: 5]",
        ),
        click.option(
            "--language-model",
            type=click.Path(dir_okay=False, path_type=Path),
            help="ARPA file of n-grams over letters or words, for CTC beam search.",
        ),
        click.option(
            "--lm-weight",
            type=click.FloatRange(min=0),
            default=1.0,
            show_default=True,
            help="Weight of the language model's log-probability.",
        ),
        click.option("--translate", is_flag=True, help="Whisper: into English."),
        click.option(
            "--timestamps", is_flag=True, help="Whisper: decode with times, as for long clips."
        ),
        click.option(
            "--no-fallback",
            is_flag=True,
            help="Whisper: keep the first text, however much it looks like a failure.",
        ),
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def pop_decoding(options: dict[str, Any], languages: Sequence[str]) -> Decoding:
    """What the options say, removed from ``options``.

    Args:
        languages: that are spoken; the model finds out which, unless there is exactly one.

    Raises:
        InputError: options that do not go together.
    """
    return Decoding(
        decoder=options.pop("decoder"),
        width=options.pop("beam_width"),
        language_model=options.pop("language_model"),
        lm_weight=options.pop("lm_weight"),
        language=languages[0] if len(languages) == 1 else "",
        translate=options.pop("translate"),
        timestamps=options.pop("timestamps"),
        temperatures=TEMPERATURES[:1] if options.pop("no_fallback") else TEMPERATURES,
    )

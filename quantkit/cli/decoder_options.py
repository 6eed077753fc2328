"""Options that choose how label probabilities become text, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.text.decoders import DECODERS, DEFAULT_WIDTH

F = TypeVar("F", bound=Callable[..., Any])


def decoder_options(default: str) -> Callable[[F], F]:
    """Add ``--decoder``, ``--beam-width``, ``--language-model`` and ``--lm-weight``.

    Args:
        default: the decoder that is used when none is named.
    """
    options = (
        click.option(
            "--decoder",
            type=click.Choice(DECODERS),
            default=default,
            show_default=True,
            help="How label probabilities become text.",
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(min=1),
            default=DEFAULT_WIDTH,
            show_default=True,
            help="Hypotheses that beam search keeps.",
        ),
        click.option(
            "--language-model",
            type=click.Path(dir_okay=False, path_type=Path),
            help="ARPA file of n-grams over letters or words, for beam search.",
        ),
        click.option(
            "--lm-weight",
            type=click.FloatRange(min=0),
            default=1.0,
            show_default=True,
            help="Weight of the language model's log-probability.",
        ),
    )

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate

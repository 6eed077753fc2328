"""Options that choose how outputs become text, the same for every command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from quantkit.api.inputs import window_seconds
from quantkit.cli.option_groups import option_group
from quantkit.text.decoders import DECODERS
from quantkit.text.decoding import TEMPERATURES, Decoding

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class DecoderOptions:
    """Values of the options of :func:`decoder_options`."""

    decoder: str
    beam_width: int | None
    language_model: Path | None
    lm_weight: float
    word_score: float
    translate: bool
    target_language: str
    no_punctuation: bool
    timestamps: bool
    no_fallback: bool
    window: str

    def decoding(self, language: str = "") -> Decoding:
        """What they say.

        Args:
            language: that is spoken; empty: the model finds out.

        Raises:
            InputError: options that do not go together.
        """
        return Decoding(
            decoder=self.decoder,
            width=self.beam_width,
            language_model=self.language_model,
            lm_weight=self.lm_weight,
            word_score=self.word_score,
            language=language,
            translate=self.translate,
            target_language=self.target_language,
            punctuation=not self.no_punctuation,
            timestamps=self.timestamps,
            temperatures=TEMPERATURES[:1] if self.no_fallback else TEMPERATURES,
            window=window_seconds(self.window),
        )


def decoder_options(default: str) -> Callable[[F], F]:
    """Add the options; the command receives ``decoder``, a :class:`DecoderOptions`.

    Args:
        default: the decoder that is used when none is named.
    """
    options = (
        click.option(
            "--decoder",
            type=click.Choice(DECODERS),
            default=default,
            show_default=True,
            help="How outputs become text; Whisper and transducers take greedy or beam.",
        ),
        click.option(
            "--beam-width",
            type=click.IntRange(min=1),
            help="Hypotheses that beam search keeps.  [default: 20; Whisper: 5; transducers: 4]",
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
        click.option(
            "--word-score",
            type=float,
            default=0.0,
            show_default=True,
            help="Added for each word that a language model over words writes; below 0 for fewer.",
        ),
        click.option("--translate", is_flag=True, help="Whisper and Canary: into English."),
        click.option(
            "--target-language",
            default="",
            help="Canary: what is written, such as fr.  [default: what is spoken]",
        ),
        click.option(
            "--no-punctuation", is_flag=True, help="Canary: neither signs nor upper case."
        ),
        click.option(
            "--timestamps", is_flag=True, help="Whisper: decode with times, as for long clips."
        ),
        click.option(
            "--no-fallback",
            is_flag=True,
            help="Whisper: keep the first text, however much it looks like a failure.",
        ),
        click.option(
            "--window",
            default="auto",
            show_default=True,
            metavar="auto|full|SECONDS",
            help="Whisper: what is computed for a clip: 30 seconds (full), or the clip and so many "
            "seconds of silence; auto as the model says, else full.",
        ),
    )
    return option_group(DecoderOptions, "decoder", options)

"""Options that say what the file of one user may be made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from quantkit.api.inputs import window_seconds
from quantkit.cli.fitting_options import FittingOptions
from quantkit.cli.layer_options import (
    LayerOptions,
    base_settings,
    max_input_divergence_option,
    preset_option,
)
from quantkit.cli.option_groups import option_group
from quantkit.cli.planning_options import load_memory_option
from quantkit.codecs.catalogue import CodecChoice
from quantkit.personalization.pipeline import PersonalizeSettings
from quantkit.personalization.shorter_windows import WindowChoice
from quantkit.sensitivity.divergence_settings import CANDIDATES

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    load_memory_option,
    click.option(
        "--candidate",
        "candidates",
        multiple=True,
        metavar="CODEC:BITS",
        help="A codec to choose from; may be repeated.  "
        f"[default: {', '.join(map(str, CANDIDATES))}]",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(min=0),
        help="How often to try the plan as a whole and correct it where layers interact.  "
        "[default: as the model's size allows]",
    ),
    click.option(
        "--auto-balance/--no-auto-balance",
        default=True,
        show_default=True,
        help="Find the layers to --balance by listening, where none is named.",
    ),
    click.option(
        "--window",
        metavar="auto|full|SECONDS",
        help="Whisper: what is computed for a clip: 30 seconds (full), or the clip and so many "
        "seconds of silence; auto finds by listening how many it takes.  [default: as MODEL says]",
    ),
    max_input_divergence_option(),
    preset_option(),
)


@dataclass(frozen=True)
class PersonalOptions:
    """Values of the options above."""

    load_memory: str | None
    candidates: tuple[str, ...]
    rounds: int | None
    auto_balance: bool
    window: str | None
    max_input_divergence: float | None
    preset: str | None

    def settings(self, layers: LayerOptions, fitting: FittingOptions) -> PersonalizeSettings:
        """What they say, with what layers become and how numbers are found.

        Raises:
            click.UsageError: a codec for all layers, which the plan chooses.
            InputError: a value that makes no sense.
        """
        if layers.codec is not None:
            raise click.UsageError(
                "the plan chooses the codecs: name those to choose from, --candidate"
            )
        usual = PersonalizeSettings()
        named = self.preset or layers.compute
        base = base_settings(self.preset) if named else usual.quantize
        return PersonalizeSettings(
            quantize=layers.adjusted(base),
            candidates=tuple(map(CodecChoice.parse, self.candidates)) or usual.candidates,
            fitting=fitting.fitting,
            balance=self.auto_balance,
            rounds=self.rounds,
            load_memory=self.load_memory,
            max_input_divergence=self.max_input_divergence,
            window=_window(self.window),
        )


def personal_options(function: F) -> F:
    """Add the options; the command receives ``personal``, a :class:`PersonalOptions`."""
    return option_group(PersonalOptions, "personal", _OPTIONS)(function)


def _window(said: str | None) -> WindowChoice:
    if said is None:
        return None
    seconds = window_seconds(said)
    return "auto" if seconds is None else seconds

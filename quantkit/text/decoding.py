"""Settings of decoding: how a model's outputs become text."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from quantkit.errors import InputError

#: Hypotheses that CTC beam search keeps.
DEFAULT_WIDTH = 20
#: Seconds of silence behind a clip that make every window of Whisper a whole one.
WHOLE = math.inf
#: Temperatures that are tried in turn while the decoded text looks like a failure (Radford et al.
#: 2022, section 4.5).
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

# What a model may be asked for that has no use for it.
_ASKED = {
    "width": "a beam (beam width)",
    "language_model": "a language model",
    "lm_weight": "a language model (its weight)",
    "word_score": "a language model (word score)",
    "language": "a language (language)",
    "translate": "a translation (translate)",
    "target_language": "a translation (target language)",
    "punctuation": "no punctuation",
    "timestamps": "times (timestamps)",
    "temperatures": "temperatures of a fallback (no fallback)",
    "window": "a window (window)",
    "words": "times of words (words)",
}


@dataclass(frozen=True)
class Decoding:
    """How outputs become text; each kind of model uses the settings that apply to it.

    Args:
        decoder: ``greedy``, ``beam`` or ``ctcdecode``.
        width: of the beam; None: 20 for CTC, 5 for Whisper, 4 for transducers.
        language_model, lm_weight, word_score: for CTC beam search; see
            :func:`~quantkit.text.decoders.beam_decoder`.
        language: code of the spoken language; empty: the model detects it, or takes English for
            it where it cannot.
        translate: whether to translate into English.
        target_language: code of the language that Canary writes; empty: the spoken one.
        punctuation: whether Canary writes signs and upper case.
        timestamps: whether Whisper decodes timestamps, which clips longer than 30 seconds need.
        temperatures: of Whisper's fallback; a single one turns it off.
        seed: of the sampling at temperatures above 0.
        window: seconds of silence that Whisper computes behind a clip of less than 30 seconds;
            infinite: windows of 30 seconds, as it was trained on; None: as the artifact says, or
            those. See :mod:`quantkit.runtime.whisper.cut_windows`.
        words: whether the time and the confidence of each word are found.
    """

    decoder: str = "greedy"
    width: int | None = None
    language_model: Path | None = None
    lm_weight: float = 1.0
    word_score: float = 0.0
    language: str = ""
    translate: bool = False
    timestamps: bool = False
    temperatures: tuple[float, ...] = TEMPERATURES
    seed: int = 0
    window: float | None = None
    words: bool = False
    target_language: str = ""
    punctuation: bool = True

    def __post_init__(self) -> None:
        if self.width is not None and self.width < 1:
            raise InputError(f"the beam's width must be at least 1, not {self.width}")
        if self.decoder == "greedy" and self.language_model is not None:
            raise InputError("the greedy decoder takes no language model; use the beam decoder")
        for name, value in (("weight", self.lm_weight), ("word score", self.word_score)):
            if not math.isfinite(value):
                raise InputError(f"the {name} of a language model is a finite number, not {value}")
        if self.word_score and self.language_model is None:
            raise InputError("a word score is for a language model over words; name one")
        if not self.temperatures or min(self.temperatures) < 0:
            raise InputError("give at least one temperature, and none below 0")
        if self.window is not None:
            checked_window(self.window)

    def beyond(self, followed: Collection[str]) -> Iterator[str]:
        """What it asks for beside the settings in ``followed``, in words.

        >>> [*Decoding(language="de", timestamps=True).beyond(["language"])]
        ['times (timestamps)']
        """
        for setting in fields(self):
            asked = getattr(self, setting.name) != setting.default
            if asked and setting.name not in followed:
                yield _ASKED.get(setting.name, setting.name)

    @property
    def ctc_width(self) -> int:
        """Hypotheses that CTC beam search keeps."""
        return self.width or DEFAULT_WIDTH

    @property
    def in_words(self) -> str:
        """Description of the decoder; two runs are comparable if theirs are equal."""
        if self.decoder == "greedy":
            return "greedy"
        words = f"{self.decoder}, width {self.ctc_width}"
        if self.language_model is not None:
            words += f", {self.language_model.name} × {self.lm_weight:g}"
            words += f", word score {self.word_score:g}" if self.word_score else ""
        return words


def checked_window(seconds: float) -> float:
    """``seconds``, if a window can have so much silence behind the clip.

    Raises:
        InputError: below 0, or no number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise InputError(
            f"a window has 0 seconds of silence behind the clip or more, not {seconds!r}"
        )
    return float(seconds)

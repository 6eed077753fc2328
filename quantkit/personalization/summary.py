"""Summary of a run: request, results and times."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.report.left_out import left_out_in_words

#: With fewer clips than this, they are unlikely to represent the speech in use.
ENOUGH_CLIPS = 10
ENOUGH_SECONDS = 20.0


@dataclass(frozen=True)
class Step:
    """One step of the run, and its duration."""

    name: str
    seconds: float


@dataclass(frozen=True)
class PersonalizeSummary:
    """One run of ``quantkit personalize``, or of its first steps.

    Args:
        model: name of the float model.
        source_bytes: size of the float model.
        audio: source of the clips; empty if there are none.
        clips, seconds: usable audio.
        destination: the artifact; None if none was written.
        budget_bytes: largest allowed size of the file; None if not given.
        size_bytes: size of the artifact; None if none was written.
        unit: of the posteriors: frame, token or clip.
        predicted_divergence: of the posteriors, by the plan, in nats per unit; None if unknown.
        predicted_interval: 95 % interval on other audio of this kind; None if the plan was not
            tried, or on few clips.
        measured_divergence, measured_interval: the same of the artifact.
        compared_clips: number of clips of that measurement; an even selection.
        steps: in order.
        reasons: see :func:`~quantkit.personalization.reasons.reasons`.
        warnings: caveats about the audio.
    """

    model: str
    source_bytes: int
    audio: str = ""
    clips: int = 0
    seconds: float = 0.0
    destination: Path | None = None
    budget_bytes: int | None = None
    size_bytes: int | None = None
    unit: str = "frame"
    predicted_divergence: float | None = None
    predicted_interval: tuple[float, float] | None = None
    measured_divergence: float | None = None
    measured_interval: tuple[float, float] | None = None
    compared_clips: int = 0
    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Of all steps."""
        return sum(step.seconds for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """The object of ``quantkit personalize --json``."""
        destination = None if self.destination is None else str(self.destination)
        return asdict(self) | {"destination": destination}


def agreement(divergence: float) -> float:
    """The mean ratio of the quantized model's probabilities to float32's, 0…1.

    The divergence is E_p[log p/q], so exp(−divergence) is the geometric mean of q/p, weighted by
    float32's probabilities p.

    >>> round(agreement(0.02), 2)
    0.98
    """
    return math.exp(-max(0.0, divergence))


def audio_warnings(
    clips: int,
    seconds: float,
    skipped: tuple[str, ...] = (),
    unknown_languages: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Caveats about the audio.

    Args:
        clips, seconds: usable ones; 0 seconds if their length is unknown.
        skipped: unusable clips, with reasons.
        unknown_languages: codes of languages of clips that the model does not support.
    """
    found = []
    if clips < ENOUGH_CLIPS:
        clip_or_clips = "clip" if clips == 1 else "clips"
        found.append(
            f"Only {clips} {clip_or_clips}: the speech in use may differ from them. "
            f"Give {ENOUGH_CLIPS} to 100."
        )
    elif 0 < seconds < ENOUGH_SECONDS:
        found.append(
            f"Only {seconds:.0f} seconds of audio in {clips} clips: give longer clips or more."
        )
    if skipped:
        words = left_out_in_words(skipped)
        found.append(f"{words[0].upper()}{words[1:]}.")
    if unknown_languages:
        codes = ", ".join(unknown_languages)
        found.append(
            f"The model does not know the language {codes}: that of these clips was guessed."
        )
    return tuple(found)

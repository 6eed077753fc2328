"""What was asked for, what came out and how long it took, in one object."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

#: With fewer clips than this, what the model hears in use is likely not among them.
ENOUGH_CLIPS = 10
ENOUGH_SECONDS = 20.0


@dataclass(frozen=True)
class Step:
    """One step of the way, and how long it took."""

    name: str
    seconds: float


@dataclass(frozen=True)
class PersonalizeSummary:
    """One run of ``quantkit personalize``, or as much of it as was done.

    Args:
        model: what the float model is called.
        source_bytes: size of the float model.
        audio: where the clips come from; empty where there are none.
        clips, seconds: how much of it could be used.
        destination: the artifact; None where none was written.
        budget_bytes: what the file may take; None where nobody said.
        size_bytes: what it takes; None where none was written.
        unit: frame, token or clip: what posteriors are for.
        predicted_divergence: of the posteriors, by the plan, in nats per unit; None where it is
            not known.
        predicted_interval: of what is to be expected on other audio of this kind, 95 %; None where
            the plan was not tried, or on few clips.
        measured_divergence, measured_interval: of the artifact; likewise.
        compared_clips: that this was measured on; an even choice of all.
        steps: in order.
        reasons: see :func:`~quantkit.personalization.reasons.reasons`.
        warnings: what the user should know before trusting the result.
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
        """For programs: ``quantkit personalize --json``."""
        destination = None if self.destination is None else str(self.destination)
        return asdict(self) | {"destination": destination}


def agreement(divergence: float) -> float:
    """The share of its own probability that float32 finds again in the quantized model, 0…1.

    The divergence is E_p[log p/q], so exp(−divergence) is the geometric mean, weighted by what
    float32 expects, of q/p: how much of the probability that float32 gives the quantized model
    gives.

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
    """What to know about the audio before trusting what was learned from it.

    Args:
        clips, seconds: that could be used; 0 seconds where their length is not known.
        skipped: clips that could not be, and why.
        unknown_languages: codes of languages of clips that the model does not know.
    """
    found = []
    if clips < ENOUGH_CLIPS:
        clip_or_clips = "clip" if clips == 1 else "clips"
        found.append(
            f"Only {clips} {clip_or_clips}: what the model will hear in use may be unlike them. "
            f"Give {ENOUGH_CLIPS} to 100."
        )
    elif 0 < seconds < ENOUGH_SECONDS:
        found.append(
            f"Only {seconds:.0f} seconds of audio in {clips} clips: give longer or more ones."
        )
    if skipped:
        more = f" (and {len(skipped) - 1} more)" if len(skipped) > 1 else ""
        found.append(f"Left out: {skipped[0]}{more}.")
    if unknown_languages:
        codes = ", ".join(unknown_languages)
        found.append(f"The model knows no language {codes}, and heard these clips as it guessed.")
    return tuple(found)

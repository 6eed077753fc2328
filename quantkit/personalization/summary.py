"""Summary of a run: request, results and times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.personalization.parts import PartCost
from quantkit.planning.finished_latency import FinishedLatency
from quantkit.report.formatting import estimate
from quantkit.report.left_out import left_out_in_words
from quantkit.slices.compared import Slice
from quantkit.text.changes import TextChanges, excerpt

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
        filters: which of its clips were chosen, in words.
        clips, seconds: usable audio.
        destination: the artifact; None if none was written.
        budget_bytes: largest allowed size of the file; None if not given.
        size_bytes: size of the artifact; None if none was written.
        changes: of the artifact's texts from the float model's on the compared clips; None if
            there are none.
        unit: of the posteriors: frame, token or clip.
        predicted_divergence: of the posteriors, by the plan, in nats per unit; None if unknown.
        predicted_interval: 95 % interval on other audio of this kind; None if the plan was not
            tried, or on few clips.
        measured_divergence, measured_interval: the same of the artifact.
        latency: of the artifact; None if no limit was given.
        compared_clips: number of clips of that measurement; an even selection.
        parts: what each graph of the artifact costs alone; none where it has only one.
        slices: all compared clips, and some of them; none where nothing tells clips apart.
        steps: in order.
        reasons: see :func:`~quantkit.personalization.reasons.reasons`.
        warnings: caveats about the audio.
    """

    model: str
    source_bytes: int
    audio: str = ""
    filters: tuple[str, ...] = ()
    clips: int = 0
    seconds: float = 0.0
    destination: Path | None = None
    budget_bytes: int | None = None
    size_bytes: int | None = None
    changes: TextChanges | None = None
    unit: str = "frame"
    predicted_divergence: float | None = None
    predicted_interval: tuple[float, float] | None = None
    measured_divergence: float | None = None
    measured_interval: tuple[float, float] | None = None
    latency: FinishedLatency | None = None
    compared_clips: int = 0
    parts: tuple[PartCost, ...] = ()
    slices: tuple[Slice, ...] = ()
    steps: tuple[Step, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def total_seconds(self) -> float:
        """Of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def compared_in_words(self) -> str:
        """Which clips the file was compared on."""
        compared, clips = self.compared_clips, self.clips
        if 0 < compared < clips:
            return f"{compared} of these clips"
        return "this clip" if clips == 1 else f"these {clips} clips"

    def changed_in_words(self) -> tuple[str, ...]:
        """How much of the text is not float32's, and examples: a line each; none if unknown."""
        if self.changes is None:
            return ()
        lead = f"against float32 on {self.compared_in_words}: {self.changes.in_words}"
        examples = (
            f"{each.clip}: {before} → {after}"
            for each in self.changes.examples
            for before, after in (excerpt(each.before, each.after),)
        )
        return (lead, *examples)

    def parts_in_words(self) -> tuple[str, ...]:
        """What each graph alone does to the posteriors: a line each."""
        return tuple(
            f"{part.role} alone ({part.file}, {part.bytes:,} bytes): "
            f"{estimate(part.divergence, part.interval)} nats per {self.unit}"
            for part in self.parts
        )

    def to_json(self) -> dict[str, Any]:
        """The object of ``quantkit personalize --json``."""
        destination = None if self.destination is None else str(self.destination)
        changes = None if self.changes is None else self.changes.to_json()
        latency = None if self.latency is None else self.latency.to_json()
        return asdict(self) | {
            "destination": destination,
            "changes": changes,
            "latency": latency,
            "slices": [each.to_json() for each in self.slices],
        }


def audio_warnings(
    clips: int,
    seconds: float,
    skipped: tuple[str, ...] = (),
    unknown_languages: tuple[str, ...] = (),
    silent: Sequence[str] = (),
) -> tuple[str, ...]:
    """Caveats about the audio.

    Args:
        clips, seconds: usable ones; 0 seconds if their length is unknown.
        skipped: unusable clips, with reasons.
        unknown_languages: codes of languages of clips that the model does not support.
        silent: clips in which the float model hears nothing.
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
    if silent:
        more = f" and in {len(silent) - 1} more" if len(silent) > 1 else ""
        found.append(f"The float32 model hears nothing in {silent[0]}{more}.")
    return tuple(found)

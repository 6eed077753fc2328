"""Bench runs beside the figures that their models are held to."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from quantkit.benchmarking.baseline import (
    CRITERIA,
    LABEL_FREE_CRITERIA,
    USUAL_CRITERIA,
    Baseline,
    Tolerance,
)
from quantkit.benchmarking.figures import Figures, ModelFigures
from quantkit.benchmarking.series import OF_CLIPS, Pair
from quantkit.errors import FormatError, InputError


@dataclass(frozen=True)
class GateOptions:
    """What models are held to.

    Args:
        criteria: of :data:`~quantkit.benchmarking.baseline.CRITERIA`; none: edits, size and speed,
            and without transcripts words changed and divergence instead of edits.
        only: names of models that are checked; none: all.
        strict: whether a model that the baseline does not know fails.
        tolerances: by criterion, in place of the baseline's.
        by: what clips are divided by; None: what the run divided them by.
        slice_tolerances: by the name of a slice or property, in place of the baseline's.
        false_alarms: the probability that any slice fails where none got worse.

    Raises:
        InputError: an unknown criterion, or a probability outside (0, 1).
    """

    criteria: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    strict: bool = False
    tolerances: dict[str, Tolerance] = field(default_factory=dict)
    by: tuple[str, ...] | None = None
    slice_tolerances: dict[str, Tolerance] = field(default_factory=dict)
    false_alarms: float = 0.05

    def __post_init__(self) -> None:
        for name in (*self.criteria, *self.tolerances):
            if name not in CRITERIA:
                raise InputError(f"{name!r} is not a criterion; use {', '.join(CRITERIA)}")
        if not 0.0 < self.false_alarms < 1.0:
            raise InputError(
                f"a rate of false alarms lies between 0 and 1, not {self.false_alarms:g}"
            )


@dataclass(frozen=True)
class Held:
    """A run, and what its models are held to.

    Args:
        current: figures of the run.
        baseline: accepted figures, of the same clips.
        reference: where these are of one model of the run, its name; it is not checked.
        of_clips: whether only what is known of clips is checked, because sizes and speeds are those
            of another run.
    """

    current: Figures
    baseline: Baseline
    reference: str = ""
    of_clips: bool = False

    @classmethod
    def against(cls, current: Figures, reference: str) -> Held:
        """All models of a run, held to one of them.

        Raises:
            InputError: the run has no such model, or no other one.
        """
        model = current.model(reference)
        if model is None:
            raise InputError(
                f"the bench run has no model {reference!r}; --against takes one of "
                f"{', '.join(each.name for each in current.models)}"
            )
        if len(current.models) < 2:
            raise InputError(f"the bench run has no model but {reference!r} to hold against it")
        # Its posteriors are where they are; those of the others are known from the first model.
        still = dict.fromkeys(model.texts, 0.0) if model is current.models[0] else {}
        models = tuple(replace(model, name=each.name, divergences=still) for each in current.models)
        return cls(current, Baseline(replace(current, models=models)), reference)

    def pair(self, old: ModelFigures, new: ModelFigures) -> Pair:
        """A model of the baseline beside that of the run."""
        if self.reference:
            first = self.current.model(self.reference)
            assert first is not None, "found when this was made"
            return Pair(old, new, first, first)
        return Pair(old, new, self.baseline.figures.models[0], self.current.models[0])

    def criteria(self, options: GateOptions) -> tuple[str, ...]:
        """What the models are held to."""
        usual = USUAL_CRITERIA if self.current.is_labelled else LABEL_FREE_CRITERIA
        found = options.criteria or usual
        return tuple(each for each in found if each in OF_CLIPS) if self.of_clips else found

    def checked(self, options: GateOptions) -> list[tuple[ModelFigures, ModelFigures]]:
        """The accepted figures and those of the run, of each model that is checked.

        Raises:
            FormatError: a model of the baseline was not measured.
        """
        found = []
        for old in self.baseline.figures.models:
            if old.name == self.reference or (options.only and old.name not in options.only):
                continue
            new = self.current.model(old.name)
            if new is None:
                measured = ", ".join(model.name for model in self.current.models)
                raise FormatError(
                    f"the baseline gates {old.name!r}, but the bench run has only {measured}; "
                    "bench it too, name others with --only, or renew the baseline with --update"
                )
            found.append((old, new))
        return found

    def with_tolerances(self, options: GateOptions) -> Held:
        """With those of the options in place of the baseline's."""
        changed = self.baseline.with_tolerances(options.tolerances, options.slice_tolerances)
        return replace(self, baseline=changed)

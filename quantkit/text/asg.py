"""The auto segmentation criterion of one utterance, in NumPy: labels without a blank.

Collobert, Puhrsch and Synnaeve, "Wav2Letter: an End-to-End ConvNet-based Speech Recognition
System", 2016, section 2.3. A path through the frames of a clip scores Σₜ f(πₜ, t) + g(πₜ₋₁, πₜ):
f are the model's outputs, called emissions, and g the transitions, learned and the same in all
frames. There is no blank. A letter that stands twice is written by a repetition symbol instead, so
that no label follows itself in a text, and what a path writes is the path without repeats.

A constant that is added to all emissions of a frame is added to every path, and changes neither
loss nor best path nor posteriors. So emissions may be log-probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from quantkit.arrays import Array, Doubles, FloatArray
from quantkit.errors import FormatError, InputError
from quantkit.json_fields import Fields
from quantkit.text.ctc_alignment import Span

#: Transitions are stored with so many digits behind the point, and used as they are stored.
DIGITS = 4


@dataclass(frozen=True)
class Asg:
    """What a model that was trained with this criterion has beside its labels.

    Args:
        repeats: indices of the repetition symbols: the first one writes the letter before it once
            more, the second twice more, and so on.
        transitions: g in nats, a row for each label that is left, a column for each that follows.
    """

    repeats: tuple[int, ...]
    transitions: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, repeats: Sequence[int], transitions: Array) -> Asg:
        """With rounded transitions, (labels, labels)."""
        rounded = np.round(transitions.astype(np.float64), DIGITS) + 0.0
        return cls(tuple(repeats), tuple(tuple(map(float, row)) for row in rounded))

    @cached_property
    def matrix(self) -> FloatArray:
        """The transitions, (labels, labels): from, to."""
        return np.array(self.transitions, np.float32)

    def checked(self, labels: int) -> None:
        """Refuse what does not fit ``labels`` labels.

        Raises:
            InputError: what does not.
        """
        if not all(0 <= index < labels for index in self.repeats):
            raise InputError(f"repetition symbols {self.repeats} are not all below {labels}")
        if len(set(self.repeats)) != len(self.repeats):
            raise InputError("a repetition symbol stands twice")
        if len(self.transitions) != labels or any(len(row) != labels for row in self.transitions):
            raise InputError(f"the transitions are no square of {labels} by {labels} labels")
        if not np.isfinite(self.matrix).all():
            raise InputError("the transitions hold numbers that are not finite")

    def packed(self, letters: Sequence[int]) -> list[int]:
        """Letters with repetition symbols in the place of repeats.

        >>> Asg((3, 4), ()).packed([0, 1, 1, 2, 2, 2, 2])
        [0, 1, 3, 2, 4, 2]
        """
        found: list[int] = []
        last, run = -1, 0
        for letter in letters:
            if run and letter == last and run <= len(self.repeats):
                run += 1
            else:
                if run > 1:
                    found.append(self.repeats[run - 2])
                found.append(letter)
                run = 1
            last = letter
        if run > 1:
            found.append(self.repeats[run - 2])
        return found

    def letters(self, labels: Sequence[int]) -> list[list[int]]:
        """What each of the labels writes; a symbol without a letter right before it, nothing.

        >>> Asg((3, 4), ()).letters([0, 1, 3, 2, 4, 2])
        [[0], [1], [1], [2], [2, 2], [2]]
        """
        times = {label: place + 1 for place, label in enumerate(self.repeats)}
        before = [None, *labels]
        return [
            [label]
            if label not in times
            else [last] * times[label]
            if last is not None and last not in times
            else []
            for last, label in zip(before, labels, strict=False)
        ]

    def unpacked(self, labels: Sequence[int]) -> list[int]:
        """The inverse of :meth:`packed`."""
        return [letter for letters in self.letters(labels) for letter in letters]

    def to_json(self) -> dict[str, Any]:
        """As part of the labels' JSON."""
        return {"repeats": list(self.repeats), "transitions": [list(r) for r in self.transitions]}

    @classmethod
    def from_fields(cls, fields: Fields) -> Asg:
        """Inverse of :meth:`to_json`.

        Raises:
            FormatError: it is something else.
        """
        rows = fields.items("transitions")
        if not all(isinstance(row, list) and all(map(_is_number, row)) for row in rows):
            raise FormatError("the transitions are not rows of numbers")
        return cls(fields.wholes("repeats"), tuple(tuple(map(float, row)) for row in rows))


def asg_loss(emissions: FloatArray, target: Sequence[int], transitions: FloatArray) -> float:
    """Equation 3 of the paper: log Σ exp of all paths, minus that of the paths of ``target``.

    >>> round(asg_loss(np.zeros((2, 2), np.float32), [0, 1], np.zeros((2, 2), np.float32)), 4)
    1.3863

    Args:
        emissions: (frames, labels).
        target: what the paths write; no label follows itself.
        transitions: (labels, labels): from, to.

    Returns:
        nats; infinity where no path writes the target, because there are too few frames.

    Raises:
        InputError: arrays that do not fit, or a target that no path can write.
    """
    rows, steps = _checked(emissions, transitions)
    labels = np.asarray(target, np.int64)
    if labels.size and (labels.min() < 0 or labels.max() >= rows.shape[1]):
        raise InputError(f"a target label is outside the model's {rows.shape[1]} labels")
    if (labels[1:] == labels[:-1]).any():
        raise InputError("in a target of ASG no label follows itself; see Asg.packed")
    if not labels.size or not len(rows):
        return 0.0 if labels.size == len(rows) else float("inf")
    stay, move = steps[labels, labels], steps[labels[:-1], labels[1:]]
    alpha = np.full(labels.size, -np.inf)
    alpha[0] = rows[0, labels[0]]
    for row in rows[1:]:
        moved = np.concatenate(([-np.inf], alpha[:-1] + move))
        alpha = np.logaddexp(alpha + stay, moved) + row[labels]
    return _total(rows, steps) - float(alpha[-1])


def best_path(emissions: FloatArray, transitions: FloatArray) -> list[int]:
    """The label of each frame on the path of the highest score (Viterbi).

    Args:
        emissions, transitions: see :func:`asg_loss`.

    Raises:
        InputError: arrays that do not fit.
    """
    rows, steps = _checked(emissions, transitions)
    if not len(rows):
        return []
    scores, before = rows[0], []
    for row in rows[1:]:
        every = scores[:, None] + steps
        before.append(every.argmax(axis=0))
        scores = every.max(axis=0) + row
    path = [int(scores.argmax())]
    for places in reversed(before):
        path.append(int(places[path[-1]]))
    return path[::-1]


def log_posteriors(emissions: FloatArray, transitions: FloatArray) -> FloatArray:
    """log P(πₜ = label) over all paths, by the forward–backward algorithm: (frames, labels).

    Args:
        emissions, transitions: see :func:`asg_loss`.

    Raises:
        InputError: arrays that do not fit.
    """
    rows, steps = _checked(emissions, transitions)
    forward, backward = np.empty_like(rows), np.zeros_like(rows)
    if not len(rows):
        return rows.astype(np.float32)
    forward[0] = rows[0]
    for frame in range(1, len(rows)):
        forward[frame] = _added(forward[frame - 1][:, None] + steps) + rows[frame]
    for frame in range(len(rows) - 2, -1, -1):
        backward[frame] = _added((steps + (rows[frame + 1] + backward[frame + 1])).T)
    both = forward + backward
    return (both - _added(both.T)[:, None]).astype(np.float32)


def path_divergence(reference: FloatArray, other: FloatArray, transitions: FloatArray) -> float:
    """Kullback–Leibler divergence of whole paths, in nats of the clip.

    With posteriors γ of the reference it is Σₜ Σ γ (f − f′) + log Z′ − log Z, Z being the sum over
    all paths. Errors of neighbouring frames are not independent, so it is no sum over frames.

    Args:
        reference, other: emissions of two models, (frames, labels).
        transitions: of both.

    Raises:
        InputError: arrays that do not fit.
    """
    rows, steps = _checked(reference, transitions)
    others, _ = _checked(other, transitions)
    if not len(rows):
        return 0.0
    posteriors = np.exp(log_posteriors(reference, transitions), dtype=np.float64)
    return float((posteriors * (rows - others)).sum()) + _total(others, steps) - _total(rows, steps)


def asg_alignment(
    emissions: FloatArray, target: Sequence[int], transitions: FloatArray
) -> list[Span] | None:
    """The frames of each label of ``target``, on the best path that writes it.

    ``log_prob`` of a span is the mean of the labels' posteriors over its frames.

    Args:
        emissions, target, transitions: see :func:`asg_loss`.

    Returns:
        None if no path writes the target.

    Raises:
        InputError: arrays that do not fit.
    """
    rows, steps = _checked(emissions, transitions)
    labels = np.asarray(target, np.int64)
    if not labels.size:
        return []
    if len(rows) < labels.size:
        return None
    stay, move = steps[labels, labels], steps[labels[:-1], labels[1:]]
    scores = np.full(labels.size, -np.inf)
    scores[0] = rows[0, labels[0]]
    moved_at = np.zeros((len(rows), labels.size), bool)
    for frame in range(1, len(rows)):
        stayed, moved = scores + stay, np.concatenate(([-np.inf], scores[:-1] + move))
        moved_at[frame] = moved > stayed
        scores = np.maximum(stayed, moved) + rows[frame, labels]
    posteriors = log_posteriors(emissions, transitions)
    spans: list[Span] = []
    state, end = labels.size - 1, len(rows)
    for frame in range(len(rows) - 1, -1, -1):
        if moved_at[frame, state] or not frame:
            sure = float(posteriors[frame:end, labels[state]].mean())
            spans.append(Span(frame, end, sure))
            state, end = state - 1, frame
    return spans[::-1]


def _total(rows: Doubles, steps: Doubles) -> float:
    """log Σ exp of the scores of all paths."""
    alpha = rows[0]
    for row in rows[1:]:
        alpha = _added(alpha[:, None] + steps) + row
    return float(_added(alpha))


def _added(values: Doubles) -> Doubles:
    """log Σ exp over the first axis."""
    highest = values.max(axis=0)
    found: Doubles = np.log(np.exp(values - highest).sum(axis=0)) + highest
    return found


def _checked(emissions: FloatArray, transitions: FloatArray) -> tuple[Doubles, Doubles]:
    if emissions.ndim != 2 or transitions.shape != (emissions.shape[1],) * 2:
        raise InputError(
            f"emissions of shape {emissions.shape} do not fit transitions of shape "
            f"{transitions.shape}"
        )
    # A label that is ruled out has −∞, which forward–backward cannot subtract.
    lowest = np.finfo(np.float32).min / 1e6
    return np.maximum(emissions.astype(np.float64), lowest), transitions.astype(np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

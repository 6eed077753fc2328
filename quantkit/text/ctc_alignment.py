"""Which frames of a CTC model write which label of a text.

The likeliest single path through the frames that writes the text (Graves, Fernández, Gomez and
Schmidhuber, "Connectionist Temporal Classification", ICML 2006, section 4.1, with maxima instead of
sums: the Viterbi algorithm). States whose score is far behind the best are left out, so that memory
grows with the frames, not with frames times labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Array, FloatArray

# States this far (natural logarithm) behind the best of a frame are left out.
_BEAM = 60.0
# Without that limit a table of so many steps back is held.
_MOST_STEPS = 100_000_000


@dataclass(frozen=True)
class Span:
    """The frames of one label.

    Args:
        first, end: frames; ``end`` is the one behind the last.
        log_prob: mean natural log-probability of the label over them.
    """

    first: int
    end: int
    log_prob: float


def ctc_alignment(log_probs: FloatArray, target: Sequence[int], blank: int) -> list[Span] | None:
    """The frames of each label of a text, on the likeliest path that writes it.

    >>> rows = np.log(np.array([[0.8, 0.2], [0.1, 0.9], [0.1, 0.9], [0.9, 0.1]]))
    >>> [(span.first, span.end) for span in ctc_alignment(rows, [1], blank=0)]
    [(1, 3)]

    Args:
        log_probs: (frames, labels) natural log-probabilities; minus infinity is allowed.
        target: label indices without blanks.
        blank: index of the blank.

    Returns:
        None if no path writes the text, as where there are too few frames.
    """
    labels = np.asarray(target, np.int64)
    if not labels.size:
        return []
    # l' of the paper: blanks before, between and after the labels.
    extended = np.full(2 * labels.size + 1, blank, np.int64)
    extended[1::2] = labels
    path = _path(log_probs, extended, blank, _BEAM)
    if path is None and len(log_probs) * extended.size <= _MOST_STEPS:
        path = _path(log_probs, extended, blank, np.inf)
    return None if path is None else _spans(log_probs, labels, path)


def _path(log_probs: FloatArray, extended: Array, blank: int, beam: float) -> Array | None:
    """The state of each frame, an index of ``extended``."""
    frames, states = len(log_probs), extended.size
    skips = np.zeros(states, bool)
    skips[2:] = (extended[2:] != blank) & (extended[2:] != extended[:-2])
    # The states of a frame are those from ``low`` on; two impossible ones stand before them.
    low, scores = 0, np.array([-np.inf, -np.inf, 0.0])
    # Before the first frame, a blank that is no frame.
    begin = True
    lows: list[int] = []
    steps: list[Array] = []
    for frame, row in enumerate(log_probs):
        high = min(states, low + scores.size - 2 + (1 if begin else 2))
        padded = np.concatenate((scores, np.full(high - low - (scores.size - 2), -np.inf)))
        from_two = np.where(skips[low:high], padded[:-2], -np.inf)
        if begin:
            from_two[:] = -np.inf
        choices = np.stack((padded[2:], padded[1:-1], from_two))
        step = choices.argmax(axis=0).astype(np.uint8)
        found = choices.max(axis=0) + row[extended[low:high]]
        # A state from which the end is too far for the frames that are left.
        late = states - 2 - 2 * (frames - 1 - frame)
        if late > low:
            found[: late - low] = -np.inf
        best = found.max()
        if not best > -np.inf:
            return None
        kept = np.flatnonzero(found >= best - beam if beam < np.inf else found > -np.inf)
        first, last = int(kept[0]), int(kept[-1]) + 1
        lows.append(low + first)
        steps.append(step[first:last])
        low += first
        scores = np.concatenate(([-np.inf, -np.inf], found[first:last]))
        begin = False
    ends = [state for state in (states - 1, states - 2) if 0 <= state - low < scores.size - 2]
    ends = [state for state in ends if scores[2 + state - low] > -np.inf]
    if not ends:
        return None
    path = np.empty(frames, np.int64)
    state = max(ends, key=lambda each: float(scores[2 + each - low]))
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame][state - lows[frame]])
    return path


def _spans(log_probs: FloatArray, labels: Array, path: Array) -> list[Span]:
    # Each label has a state of its own, which the path is in for some frames on end.
    firsts = np.searchsorted(path, 2 * np.arange(labels.size) + 1)
    ends = np.searchsorted(path, 2 * np.arange(labels.size) + 1, side="right")
    return [
        Span(int(first), int(end), float(log_probs[first:end, label].mean()))
        for first, end, label in zip(firsts, ends, labels, strict=True)
    ]

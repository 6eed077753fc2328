"""Beam search over texts of the auto segmentation criterion, in NumPy.

The score of a text is the sum over all paths that write it, where the greedy decoder takes the best
single path. All paths of a text end in its last label, so a text has one score, and not two as with
CTC. flashlight-text has a search for this criterion, too; but up to 0.0.7 its lexicon-free decoder
reports transitions without searching by them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Doubles, FloatArray

# Texts this far (natural logarithm) behind the best are dropped.
_THRESHOLD = 50.0


@dataclass(frozen=True)
class _Text:
    """A text: the one before it, and a label more.

    Args:
        number: of the text, from 0 on.
    """

    number: int
    before: _Text | None
    label: int

    def labels(self) -> list[int]:
        found: list[int] = []
        text: _Text | None = self
        while text is not None:
            found.append(text.label)
            text = text.before
        return found[::-1]


def asg_beam_search(transitions: FloatArray, width: int) -> Callable[[FloatArray], list[int]]:
    """A search for the labels of the likeliest text.

    Args:
        transitions: (labels, labels): from, to.
        width: texts that are kept after every frame.

    Returns:
        From emissions (frames, labels), frames > 0, to labels, none of which follows itself.
    """
    steps = transitions.astype(np.float64)
    return lambda emissions: _best(emissions.astype(np.float64), steps, width)


def _best(emissions: Doubles, steps: Doubles, width: int) -> list[int]:
    texts = [_Text(label, None, label) for label in range(emissions.shape[1])]
    made: dict[tuple[int, int], _Text] = {}
    texts, scores = _kept(texts, emissions[0], width)
    for row in emissions[1:]:
        last = np.array([text.label for text in texts])
        every = scores[:, None] + steps[last] + row
        places = np.arange(len(texts))
        stayed = every[places, last]
        every[places, last] = -np.inf
        # A text that another one is the beginning of gets that one's paths, too.
        place_of = {text.number: place for place, text in enumerate(texts)}
        for place, text in enumerate(texts):
            before = None if text.before is None else place_of.get(text.before.number)
            if before is not None:
                stayed[place] = np.logaddexp(stayed[place], every[before, text.label])
                every[before, text.label] = -np.inf
        flat = every.reshape(-1)
        longer = np.argpartition(-flat, min(width, flat.size) - 1)[:width]
        added = []
        for place, label in zip(*np.divmod(longer, len(row)), strict=True):
            key = (texts[place].number, int(label))
            if key not in made:
                made[key] = _Text(len(row) + len(made), texts[place], int(label))
            added.append(made[key])
        texts, scores = _kept([*texts, *added], np.concatenate([stayed, flat[longer]]), width)
    return texts[int(scores.argmax())].labels()


def _kept(texts: list[_Text], scores: Doubles, width: int) -> tuple[list[_Text], Doubles]:
    """The best of them, in any order."""
    order = np.argsort(-scores, kind="stable")[:width]
    order = order[scores[order] >= scores[order[0]] - _THRESHOLD]
    return [texts[place] for place in order], scores[order]

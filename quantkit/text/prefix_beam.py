"""CTC prefix beam search in NumPy, for platforms without flashlight-text.

A. Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional
Recurrent DNNs", 2014, algorithm 1, in log space and without a language model. Pruning is that of
:func:`quantkit.text.flashlight_search.free_search`, so that both write the same text: a prefix that
ends in a blank and the same prefix that ends in its last label are two hypotheses. Each counts
towards the width, and they are added only at the end of the clip.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.text.flashlight_search import BEAM_THRESHOLD
from quantkit.text.labels import Labels

_Integers = npt.NDArray[np.int64]

_EMPTY = 0  # node of the empty prefix
_NO_LABEL = -1


def prefix_beam_search(
    labels: Labels, width: int, threshold: float = BEAM_THRESHOLD
) -> Callable[[FloatArray], list[int]]:
    """A search over (frames, labels) natural log-probabilities.

    >>> search = prefix_beam_search(Labels(("_", "a")), width=4)
    >>> search(np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32)))
    [1]

    Args:
        labels: the alphabet of the log-probabilities.
        width: hypotheses that are kept after every frame.
        threshold: hypotheses this far (natural log) behind the best are dropped.
    """

    return lambda log_probs: best_labels(log_probs, labels.blank, width, threshold)


def best_labels(
    log_probs: FloatArray, blank: int, width: int, threshold: float = BEAM_THRESHOLD
) -> list[int]:
    """The most probable label sequence in the beam at the end, without blanks.

    Args:
        log_probs: (frames, labels) natural log-probabilities; minus infinity is allowed.
        blank: index of the CTC blank.
        width, threshold: see :func:`prefix_beam_search`.
    """
    count = log_probs.shape[1]
    prefixes = _Prefixes(count)
    columns = np.arange(count)
    nodes = np.array([_EMPTY])
    after_blank = np.array([False])
    scores = np.array([0.0])
    for frame in log_probs.astype(np.float64):
        last, own = prefixes.last_and_key(nodes)
        grown = scores[:, None] + frame
        # A label lengthens the prefix, unless it repeats the label of the last frame.
        keys = nodes[:, None] * count + columns
        repeats = (columns == last[:, None]) & ~after_blank[:, None]
        keys = np.where(repeats, own[:, None], keys)
        keys[:, blank] = own
        # A hypothesis as one number: its prefix, and whether a blank follows.
        keys = 2 * keys + (columns == blank)

        alive = grown >= grown.max() - threshold
        merged, totals = _added_up(keys[alive], grown[alive])
        if len(totals) > width:
            kept = np.argpartition(totals, -width)[-width:]
            merged, totals = merged[kept], totals[kept]
        nodes, after_blank, scores = prefixes.nodes_of(merged >> 1), merged % 2 == 1, totals
    ends, totals = _added_up(nodes, scores)
    return prefixes.labels_of(int(ends[totals.argmax()]))


class _Prefixes:
    """Tree of all label sequences that have been in the beam.

    A prefix has a node, counted up from 0, and a key, ``node of its parent * labels + last label``.
    The key is known before the prefix has a node, so only hypotheses that survive a frame get one.
    It never changes, so a prefix that leaves the beam and returns keeps its descendants.
    """

    def __init__(self, labels: int) -> None:
        self._labels = labels
        # The empty prefix may have any key that no other prefix can have.
        self._keys = [-1]
        self._last = [_NO_LABEL]
        self._nodes = {-1: _EMPTY}

    def last_and_key(self, nodes: _Integers) -> tuple[_Integers, _Integers]:
        """Last label and key of each node."""
        wanted = nodes.tolist()
        return (
            np.array([self._last[node] for node in wanted]),
            np.array([self._keys[node] for node in wanted]),
        )

    def nodes_of(self, keys: _Integers) -> _Integers:
        """The node of each key; new ones are made."""
        found = []
        for key in keys.tolist():
            node = self._nodes.get(key)
            if node is None:
                node = self._nodes[key] = len(self._keys)
                self._keys.append(key)
                self._last.append(key % self._labels)
            found.append(node)
        return np.array(found)

    def labels_of(self, node: int) -> list[int]:
        """The label sequence that ends at a node."""
        backwards = []
        while node != _EMPTY:
            backwards.append(self._last[node])
            node = self._keys[node] // self._labels
        return backwards[::-1]


def _added_up(
    keys: _Integers, scores: npt.NDArray[np.float64]
) -> tuple[_Integers, npt.NDArray[np.float64]]:
    """Each key once, in rising order, with the log of the summed probabilities."""
    order = keys.argsort(kind="stable")
    keys, scores = keys[order], scores[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.logaddexp.reduceat(scores, starts)

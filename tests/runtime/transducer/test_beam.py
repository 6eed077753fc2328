"""Beam search, over scores that are written down."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.runtime.transducer.beam import best_path
from quantkit.runtime.transducer.network import Memory, Step, TransducerNetwork
from quantkit.runtime.transducer.search import greedy_path, labels_of
from quantkit.runtime.transducer.settings import TransducerSettings

BLANK, A, B = 0, 1, 2
#: Probabilities of blank, A and B (and of durations), by frame and by the last label.
Probabilities = Mapping[tuple[int, int], tuple[float, ...]]


class Given(TransducerNetwork):
    """Says what is written for a frame and the last label."""

    def __init__(self, given: Probabilities, settings: TransducerSettings) -> None:
        self.given, self.settings = given, settings
        self.runs = 0

    def begin(self) -> Memory:
        return Memory(self.settings.start, {})

    def step(self, encoded: FloatArray, memory: Memory) -> Step:
        self.runs += 1
        row = self.given[int(encoded[0]), memory.tokens[-1]]
        return Step(np.log(np.array(row, np.float32)), memory, {})


def found(given: Probabilities, frames: int, width: int, **settings: int) -> list[list[int]]:
    network = Given(given, TransducerSettings((BLANK,), **settings))
    encoded = np.arange(frames, dtype=np.float32)[:, None]
    if width == 1:
        path = labels_of(greedy_path(network, encoded, 3, BLANK), BLANK)
    else:
        path = best_path(network, encoded, 3, BLANK, width)
    return [[int(row["label"]), int(row["frame"])] for row in path]


def test_it_finds_what_becomes_likely_later() -> None:
    given = {
        (0, BLANK): (0.3, 0.36, 0.34),
        (0, A): (1.0, 1e-6, 1e-6),
        (0, B): (1.0, 1e-6, 1e-6),
        # After A nothing is sure; after B the second frame is.
        (1, A): (0.3, 0.35, 0.35),
        (1, B): (0.98, 0.01, 0.01),
        (1, BLANK): (0.98, 0.01, 0.01),
    }
    greedy = found(given, 2, 1, most_per_frame=1)
    assert greedy[0] == [A, 0]
    assert found(given, 2, 3, most_per_frame=1) == [[B, 0]]


def test_the_same_text_on_two_paths_is_as_likely_as_both() -> None:
    # One A, in the first frame or in the second: 0.24 + 0.24; none: 0.36.
    row, done = (0.6, 0.4, 1e-9), (1.0, 1e-9, 1e-9)
    given = {(f, t): done if t else row for f in range(2) for t in (BLANK, A, B)}
    assert found(given, 2, 1) == []
    assert [label for label, _ in found(given, 2, 4)] == [A]


def test_durations_skip_frames() -> None:
    sure = 1 - 2e-6
    given = {
        (0, BLANK): (1e-6, sure, 1e-6, 1e-6, 1e-6, sure),
        (2, A): (1e-6, 1e-6, sure, sure, 1e-6, 1e-6),
        (2, B): (sure, 1e-6, 1e-6, 1e-6, sure, 1e-6),
        # Where nothing leads that is likely.
        **{(f, t): (sure, 1e-6, 1e-6, 1e-6, sure, 1e-6) for f in (0, 1) for t in (A, B)},
        (1, BLANK): (sure, 1e-6, 1e-6, 1e-6, sure, 1e-6),
        (2, BLANK): (sure, 1e-6, 1e-6, 1e-6, sure, 1e-6),
    }
    for width in (1, 3):
        assert found(given, 3, width, durations=3) == [[A, 0], [B, 2]]


@pytest.mark.parametrize("width", [2, 4])
def test_a_frame_adds_no_more_than_it_may(width: int) -> None:
    given = {(f, t): (0.01, 0.98, 0.01) for f in range(3) for t in (BLANK, A, B)}
    assert found(given, 3, width, most_per_frame=2) == [[A, f] for f in range(3) for _ in range(2)]


def test_where_all_is_sure_it_does_no_more_than_greedy_search() -> None:
    sure = (1 - 2e-6, 1e-6, 1e-6)
    given = {(f, t): sure for f in range(5) for t in (BLANK, A, B)}
    network = Given(given, TransducerSettings((BLANK,)))
    assert not len(best_path(network, np.arange(5, dtype=np.float32)[:, None], 3, BLANK, 4))
    assert network.runs == 5

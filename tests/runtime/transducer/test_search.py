"""Greedy search, over scores that are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from quantkit.arrays import FloatArray
from quantkit.errors import ModelError
from quantkit.runtime.transducer.network import Memory, Step, TransducerNetwork
from quantkit.runtime.transducer.search import greedy_path, labels_of
from quantkit.runtime.transducer.settings import (
    TransducerSettings,
    transducer_settings,
)

BLANK, A, B = 0, 1, 2


class Scripted(TransducerNetwork):
    """Says, for a frame and the labels so far, a label and perhaps a duration."""

    def __init__(
        self, script: Mapping[tuple[int, int], tuple[int, ...]], settings: TransducerSettings
    ) -> None:
        self.script, self.settings = script, settings
        self.asked: list[tuple[int, int]] = []

    def begin(self) -> Memory:
        return Memory(self.settings.start, {"count": np.array(0)})

    def step(self, encoded: FloatArray, memory: Memory) -> Step:
        place = int(encoded[0]), int(memory.states["count"])
        self.asked.append(place)
        label, *duration = self.script.get(place, (BLANK, 0))
        row = np.zeros(3 + self.settings.durations, np.float32)
        row[label] = 1.0
        if self.settings.durations:
            row[3 + duration[0]] = 1.0
        return Step(row, memory, {"count": memory.states["count"] + 1})


def search(
    script: Mapping[tuple[int, int], tuple[int, ...]], frames: int, settings: TransducerSettings
) -> tuple[Sequence[Sequence[int]], list[tuple[int, int]]]:
    network = Scripted(script, settings)
    encoded = np.arange(frames, dtype=np.float32)[:, None]
    found = labels_of(greedy_path(network, encoded, 3, BLANK), BLANK)
    return [[row["label"], row["frame"]] for row in found], network.asked


def test_a_frame_adds_labels_until_it_says_blank() -> None:
    script = {(0, 0): (A,), (0, 1): (B,), (2, 2): (A,)}
    found, asked = search(script, 3, TransducerSettings((BLANK,)))
    assert found == [[A, 0], [B, 0], [A, 2]]
    assert asked == [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3)]


def test_a_frame_adds_no_more_than_it_may() -> None:
    script = {(frame, count): (A,) for frame in range(2) for count in range(9)}
    found, _ = search(script, 2, TransducerSettings((BLANK,), most_per_frame=3))
    assert found == [[A, 0]] * 3 + [[A, 1]] * 3


def test_a_duration_skips_frames() -> None:
    script = {(0, 0): (A, 2), (2, 1): (B, 0), (2, 2): (BLANK, 1), (3, 2): (A, 1)}
    found, asked = search(script, 4, TransducerSettings((BLANK,), durations=3))
    assert found == [[A, 0], [B, 2], [A, 3]]
    assert asked == [(0, 0), (2, 1), (2, 2), (3, 2)]


def test_a_blank_of_no_duration_takes_one_frame() -> None:
    found, asked = search({}, 3, TransducerSettings((BLANK,), durations=3))
    assert not found
    assert asked == [(0, 0), (1, 0), (2, 0)]


def test_labels_of_no_duration_end_when_a_frame_is_full() -> None:
    script = {(0, count): (A, 0) for count in range(9)}
    found, asked = search(script, 2, TransducerSettings((BLANK,), durations=3, most_per_frame=2))
    assert found == [[A, 0]] * 2
    assert asked[-1] == (1, 2)


def test_a_memory_holds_as_many_labels_as_the_predictor_reads() -> None:
    network = Scripted({}, TransducerSettings((-1, BLANK)))
    step = network.step(np.zeros(1, np.float32), network.begin())
    after = network.after(step, A)
    assert after.tokens == (BLANK, A)
    step = network.step(np.zeros(1, np.float32), after)
    assert network.after(step, B).tokens == (A, B)


def test_settings_are_read_as_they_were_written() -> None:
    settings = TransducerSettings((-1, BLANK), 5, 3, 8)
    assert transducer_settings({"transducer": settings.to_json()}) == settings


@pytest.mark.parametrize("text", ["", "{}", '{"start": []}', '{"start": [0], "durations": "x"}'])
def test_a_model_without_settings_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="metadata"):
        transducer_settings({"transducer": text})

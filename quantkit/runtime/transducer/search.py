"""From the encoder's frames to labels: greedy search (Graves, "Sequence transduction with recurrent
neural networks", 2012; for durations Xu et al., 2023, algorithm 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.runtime.transducer.network import Memory, Step
from quantkit.runtime.transducer.settings import TransducerSettings

#: A label, the frame of the encoder that added it, and the natural logarithm of its probability.
LABEL = np.dtype([("label", np.int64), ("frame", np.int64), ("log_prob", np.float64)])


class Network(Protocol):
    """What the search goes through: a
    :class:`~quantkit.runtime.transducer.network.TransducerNetwork`, or a model in training.
    """

    @property
    def settings(self) -> TransducerSettings:
        """Of its decoding."""
        ...

    def begin(self) -> Memory:
        """Of a text without labels."""
        ...

    def after(self, step: Step, label: int) -> Memory:
        """Of the text of ``step`` with one more label."""
        ...

    def step(self, encoded: FloatArray, memory: Memory) -> Step:
        """What follows in a frame, (width,)."""
        ...


@dataclass(frozen=True)
class Point:
    """One run of the joiner on the path through a clip.

    Args:
        frame: of the encoder.
        step: what the joiner says there.
        label: the likeliest, which may be the blank.
    """

    frame: int
    step: Step
    label: int


class GreedySearch:
    """The path on which every label, and every duration, is the likeliest.

    A frame ends with a blank, with a duration of more than zero frames, or with as many labels as a
    frame may add. A blank of no duration takes one frame, as NeMo has it.

    Args:
        labels: how many there are; durations stand behind them.
        blank: which of them is none.
    """

    def __init__(self, network: Network, labels: int, blank: int) -> None:
        self._network, self._labels, self._blank = network, labels, blank
        self._memory = network.begin()
        # Frames of the encoder so far, and how many of the next ones a duration passes over.
        self._before = self._ahead = 0

    def advance(self, encoded: FloatArray) -> Iterator[Point]:
        """The path through some more frames of a clip, to be gone through to its end.

        Args:
            encoded: (steps, width).

        Raises:
            ModelError: ONNX Runtime fails.
        """
        network, labels = self._network, self._labels
        frame, added = self._ahead, 0
        while frame < len(encoded):
            step = network.step(encoded[frame], self._memory)
            label = int(step.log_probs[:labels].argmax())
            duration = int(step.log_probs[labels:].argmax()) if network.settings.durations else 0
            yield Point(self._before + frame, step, label)
            self._memory = step.memory
            if label != self._blank:
                self._memory = network.after(step, label)
                added += 1
            if duration == 0 and (label == self._blank or added == network.settings.most_per_frame):
                duration = 1
            if duration:
                frame += duration
                added = 0
        self._before += len(encoded)
        self._ahead = frame - len(encoded)


def greedy_path(network: Network, encoded: FloatArray, labels: int, blank: int) -> Iterator[Point]:
    """That of :class:`GreedySearch` through a whole clip, (steps, width).

    Args, Raises: see there.
    """
    yield from GreedySearch(network, labels, blank).advance(encoded)


def labels_of(path: Iterator[Point], blank: int) -> Array:
    """The labels on a path, an array of :data:`LABEL`."""
    return np.array(
        [
            (point.label, point.frame, point.step.log_probs[point.label])
            for point in path
            if point.label != blank
        ],
        LABEL,
    )

"""From the encoder's frames to labels: greedy search (Graves, "Sequence transduction with recurrent
neural networks", 2012; for durations Xu et al., 2023, algorithm 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.runtime.transducer.network import Step, TransducerNetwork


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


def greedy_path(
    network: TransducerNetwork, encoded: FloatArray, labels: int, blank: int
) -> Iterator[Point]:
    """The path on which every label, and every duration, is the likeliest.

    A frame ends with a blank, with a duration of more than zero frames, or with as many labels as a
    frame may add. A blank of no duration takes one frame, as NeMo has it.

    Args:
        encoded: (steps, width) of a clip.
        labels: how many there are; durations stand behind them.
        blank: which of them is none.

    Raises:
        ModelError: ONNX Runtime fails.
    """
    most = network.settings.most_per_frame
    memory, frame, added = network.begin(), 0, 0
    while frame < len(encoded):
        step = network.step(encoded[frame], memory)
        label = int(step.log_probs[:labels].argmax())
        duration = int(step.log_probs[labels:].argmax()) if network.settings.durations else 0
        yield Point(frame, step, label)
        memory = step.memory
        if label != blank:
            memory = network.after(step, label)
            added += 1
        if duration == 0 and (label == blank or added == most):
            duration = 1
        if duration:
            frame += duration
            added = 0


def labels_of(path: Iterator[Point], blank: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """(labels, 2): the labels on a path, each with the frame of the encoder that added it."""
    rows = [(point.label, point.frame) for point in path if point.label != blank]
    return np.array(rows, np.int64).reshape(-1, 2)

"""From the encoder's frames to labels: greedy search (Graves, "Sequence transduction with recurrent
neural networks", 2012; for durations Xu et al., 2023, algorithm 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.runtime.transducer.network import Step, TransducerNetwork

#: A label, the frame of the encoder that added it, and the natural logarithm of its probability.
LABEL = np.dtype([("label", np.int64), ("frame", np.int64), ("log_prob", np.float64)])


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

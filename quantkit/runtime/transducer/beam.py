"""Beam search over a transducer's frames, with as many hypotheses as are worth it.

A frame takes the hypotheses that have arrived at it and lets the best of them add labels, round by
round, as many as a frame may (the N-step search of Boyer et al., "A study of transducer based
end-to-end ASR with ESPnet", 2021, algorithm 4). A blank takes a hypothesis to the next frame, a
duration to a later one. Hypotheses with the same labels at the same frame are one (Graves 2012).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.runtime.transducer.network import Memory, Step, TransducerNetwork
from quantkit.runtime.transducer.search import LABEL

#: Hypotheses that are kept.
WIDTH = 4
# What is so much less likely than the best, in nats, is not followed.
_HOPELESS = 10.0


@dataclass(frozen=True)
class Hypothesis:
    """A text that may have been said.

    Args:
        rows: of each label, itself, the frame that added it, and its log-probability.
        score: natural logarithm of its probability.
        memory: of the predictor.
    """

    rows: tuple[tuple[int, int, float], ...]
    score: float
    memory: Memory

    @property
    def labels(self) -> tuple[int, ...]:
        """Without their frames."""
        return tuple(label for label, *_ in self.rows)


def best_path(
    network: TransducerNetwork, encoded: FloatArray, labels: int, blank: int, width: int = WIDTH
) -> Array:
    """The labels of the best hypothesis, an array of :data:`LABEL`.

    Args:
        encoded: (steps, width) of a clip.
        labels: how many there are; durations stand behind them.
        blank: which of them is none.

    Raises:
        ModelError: ONNX Runtime fails.
    """
    arrived: list[list[Hypothesis]] = [[] for _ in range(len(encoded) + 1)]
    arrived[0].append(Hypothesis((), 0.0, network.begin()))
    for frame, here in enumerate(arrived[:-1]):
        growing = _best(here, width)
        for added in range(1, network.settings.most_per_frame + 1):
            if not growing:
                break
            grown: list[Hypothesis] = []
            may_grow = added < network.settings.most_per_frame
            for each in growing:
                step = network.step(encoded[frame], each.memory)
                for duration, next_one in _followers(
                    network, each, step, frame, labels, blank, width
                ):
                    if duration:
                        arrived[min(frame + duration, len(encoded))].append(next_one)
                    elif may_grow:
                        grown.append(next_one)
                    else:
                        arrived[frame + 1].append(next_one)
            # What has left the frame is as good as what may still leave it.
            left = [each for later in arrived[frame + 1 :] for each in later]
            growing = _hopeful(_best(grown, width), left, width)
    ended = _best(arrived[-1], 1)
    return np.array([*ended[0].rows] if ended else [], LABEL)


def _followers(
    network: TransducerNetwork,
    before: Hypothesis,
    step: Step,
    frame: int,
    labels: int,
    blank: int,
    width: int,
) -> Iterable[tuple[int, Hypothesis]]:
    """What a hypothesis becomes in a frame, and after how many frames it goes on."""
    scores = step.log_probs[:labels]
    some = {blank, *np.argsort(scores)[-width:].tolist()}
    durations = step.log_probs[labels:]
    for label in some:
        memory = step.memory if label == blank else network.after(step, label)
        rows = (
            before.rows if label == blank else (*before.rows, (label, frame, float(scores[label])))
        )
        score = before.score + float(scores[label])
        if not len(durations):
            yield int(label == blank), Hypothesis(rows, score, memory)
            continue
        for duration in np.argsort(durations)[-2:].tolist():
            # A blank goes on in any case.
            frames = max(duration, 1) if label == blank else duration
            yield frames, Hypothesis(rows, score + float(durations[duration]), memory)


def _best(found: Iterable[Hypothesis], width: int) -> list[Hypothesis]:
    """The best of ``found``, of which those with the same labels are one."""
    merged: dict[tuple[int, ...], Hypothesis] = {}
    for each in found:
        same = merged.get(each.labels)
        if same is None:
            merged[each.labels] = each
            continue
        likelier = max(same, each, key=lambda one: one.score)
        together = float(np.logaddexp(same.score, each.score))
        merged[each.labels] = Hypothesis(likelier.rows, together, likelier.memory)
    ordered = sorted(merged.values(), key=lambda one: -one.score)[:width]
    return [each for each in ordered if each.score > ordered[0].score - _HOPELESS]


def _hopeful(growing: list[Hypothesis], left: list[Hypothesis], width: int) -> list[Hypothesis]:
    """Those that may still be among the best once they leave the frame."""
    if not left:
        return growing
    scores = sorted((each.score for each in left), reverse=True)
    least = scores[0] - _HOPELESS
    if len(scores) >= width:
        least = max(least, scores[width - 1])
    return [each for each in growing if each.score > least]

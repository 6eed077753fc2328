"""A transducer's graphs as sessions, and what its predictor remembers from label to label.

Published models come as two graphs, an encoder, and a ``decoder`` that is predictor and joiner in
one, or as three. Both have the same values:

- the encoder makes ``encoded`` (clips, steps, width) and ``encoded_lengths`` (clips,) of
  ``features`` and ``lengths``;
- the predictor reads ``tokens`` (points, context), the last labels, and its states, if it has any;
- the joiner takes, for each point, the row of ``encoded`` (1, rows, width) that ``frames``
  (points,) counts, and gives ``log_probs`` (1, points, labels), behind which stand the
  log-probabilities of durations, if it has any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.graph.roles import BATCH, DECODER, ENCODER
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.padding import padded_batch, runs_of
from quantkit.runtime.speech_model import require_rows
from quantkit.runtime.transducer.settings import TransducerSettings

PREDICTOR, JOINER = "predictor", "joiner"

_FIRST_ROW = np.zeros(1, np.int64)


@dataclass(frozen=True)
class Memory:
    """A text so far.

    Args:
        tokens: the last labels, which the predictor reads next.
        states: what it remembers of those before, by input name.
        read: what it has made of both, where it is a graph of its own.
    """

    tokens: tuple[int, ...]
    states: Mapping[str, Array]
    read: Mapping[str, Array] | None = None


@dataclass(frozen=True)
class Step:
    """What the joiner says of a frame and a text.

    Args:
        log_probs: (labels,) natural logarithms, and those of durations behind them.
        memory: of the text, with what the predictor has made of it.
        states: of the predictor behind it.
    """

    log_probs: FloatArray
    memory: Memory
    states: Mapping[str, Array]


class TransducerNetwork:
    """The sessions of a transducer.

    Args:
        graphs: an encoder, and a decoder or a predictor and a joiner.
        settings: of its decoding.
    """

    def __init__(self, graphs: GraphSessions, settings: TransducerSettings) -> None:
        self.settings = settings
        self._graphs = graphs
        #: The graph that has the predictor's states.
        self.predictor = PREDICTOR if PREDICTOR in graphs.sessions else DECODER
        (role,) = (each for each in graphs.roles if each.role == self.predictor)
        self._states = role.states
        heard = graphs.sessions[ENCODER].get_inputs()[0]
        # Features, or a waveform where the front end is part of the graph.
        self._heard, self._input = heard.name, heard.shape

    @classmethod
    def load(cls, path: Path, settings: TransducerSettings, threads: int = 1) -> TransducerNetwork:
        """Open the files of the artifact at ``path``, which were checked already.

        Raises:
            ModelError: a file is missing or does not load.
        """
        return cls(GraphSessions.load(path, threads), settings)

    def encode(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """(steps, width) of each clip.

        Args:
            batch: (frames, bands) features, or (samples,) waveforms.

        Raises:
            InputError: clips of the wrong shape.
            ModelError: ONNX Runtime fails on the batch, or gives something else.
        """
        found: list[FloatArray] = []
        for group in runs_of(batch, self._input):
            padded, lengths = padded_batch(group, self._input[2:])
            made = self._graphs.run(ENCODER, {self._heard: padded, "lengths": lengths})
            require_rows(made["encoded"], len(group), 3, "encoded")
            require_rows(made["encoded_lengths"], len(group), 1, "encoded_lengths")
            found += [
                rows[:count]
                for rows, count in zip(made["encoded"], made["encoded_lengths"], strict=True)
            ]
        return found

    def begin(self) -> Memory:
        """Of a text without labels."""
        return Memory(self.settings.start, self._graphs.states(self.predictor))

    def after(self, step: Step, label: int) -> Memory:
        """Of the text of ``step`` with one more label."""
        return Memory((*step.memory.tokens, label)[-self.settings.context :], step.states)

    def step(self, encoded: FloatArray, memory: Memory) -> Step:
        """What follows in a frame.

        Args:
            encoded: (width,) of the frame.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        if memory.read is None and self.predictor == PREDICTOR:
            memory = replace(memory, read=self._read(memory))
        heard: dict[str, Array] = {"encoded": encoded[None, None], "frames": _FIRST_ROW}
        if memory.read is not None:
            made = self._graphs.run(JOINER, {**heard, **memory.read})
        else:
            made = self._graphs.run(DECODER, {**heard, **_reading(memory)})
        states = self._graphs.next_states(self.predictor, memory.read or made)
        return Step(made["log_probs"][0, 0], memory, states)

    def along_batch(self, states: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """States of several texts as those of one batch."""
        return {
            state.input: np.concatenate(
                [each[state.input] for each in states], axis=state.shape.index(BATCH)
            )
            for state in self._states
        }

    def at(self, states: Mapping[str, Array], row: int) -> dict[str, Array]:
        """Those of one text of a batch, still with an axis for the batch."""
        return {
            state.input: np.take(states[state.input], [row], axis=state.shape.index(BATCH))
            for state in self._states
        }

    def _read(self, memory: Memory) -> Mapping[str, Array]:
        return self._graphs.run(PREDICTOR, _reading(memory))


def _reading(memory: Memory) -> dict[str, Array]:
    return {"tokens": np.array([memory.tokens], np.int64), **memory.states}

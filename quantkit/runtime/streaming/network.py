"""The graph of a model that hears in chunks, and what its runs leave for the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.errors import ModelError
from quantkit.graph.roles import BATCH, GraphRole
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.streaming.chunks import Chunk
from quantkit.runtime.streaming.settings import StreamingSettings


class ChunkNetwork:
    """The first graph of an artifact, run by run.

    Args:
        graphs: of the artifact; the first has the states.
        settings: of its chunks.

    Raises:
        ModelError: the graph has no states.
    """

    def __init__(self, graphs: GraphSessions, settings: StreamingSettings) -> None:
        self.graphs, self.settings = graphs, settings
        self.role: GraphRole = graphs.roles[0]
        if not self.role.states:
            raise ModelError("the model has no states that go from one chunk to the next")

    @classmethod
    def load(cls, path: Path, settings: StreamingSettings, threads: int = 1) -> ChunkNetwork:
        """Open the files of the artifact at ``path``, which were checked already.

        Raises:
            ModelError: a file is missing or does not load, or the graph has no states.
        """
        return cls(GraphSessions.load(path, threads), settings)

    def begin(self) -> dict[str, Array]:
        """States before the first chunk, by input name."""
        return self.graphs.states(self.role.role)

    def run(
        self, chunk: Chunk, states: Mapping[str, Array]
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """All outputs for one chunk of one clip, by name, and the states behind it.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        feed = {"features": chunk.features[None], "lengths": np.array([chunk.length]), **states}
        made = self.graphs.run(self.role.role, feed)
        return made, self.graphs.next_states(self.role.role, made)

    def along_batch(self, states: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """States of several runs as those of one batch."""
        return {
            state.input: np.concatenate(
                [each[state.input] for each in states], axis=_batch_axis(state.shape)
            )
            for state in self.role.states
        }

    def first_of(self, states: Mapping[str, Array]) -> dict[str, Array]:
        """States of the first of several runs; inverse of :meth:`along_batch` for that one."""
        return {
            state.input: np.take(states[state.input], [0], axis=_batch_axis(state.shape))
            if BATCH in state.shape
            else states[state.input]
            for state in self.role.states
        }

    @property
    def takes_batches(self) -> bool:
        """Whether all states have an axis for the clips of a batch."""
        sizes = self.graphs.sessions[self.role.role].get_inputs()[0].shape
        return not isinstance(sizes[0], int) and all(BATCH in s.shape for s in self.role.states)

    @property
    def takes_lengths(self) -> bool:
        """Whether it is told how many frames of a chunk count."""
        inputs = self.graphs.sessions[self.role.role].get_inputs()
        return any(value.name == "lengths" for value in inputs)


class Rows:
    """Which rows of the runs of one clip belong to it."""

    def __init__(self, settings: StreamingSettings) -> None:
        self._ahead = settings.delay

    def of(self, values: FloatArray, valid: int) -> FloatArray:
        """The rows that do.

        Args:
            values: (rows, labels) of a run.
            valid: how many of them do.
        """
        first = min(self._ahead, len(values))
        self._ahead -= first
        return values[first : first + valid]


def _batch_axis(shape: Sequence[int | str]) -> int:
    return shape.index(BATCH)

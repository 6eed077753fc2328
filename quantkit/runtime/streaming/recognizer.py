"""CTC models that hear in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.recognizer import Recognizer
from quantkit.runtime.speech_model import Output, require_rows
from quantkit.runtime.streaming.chunks import Chunk
from quantkit.runtime.streaming.model import ChunkedModel
from quantkit.runtime.streaming.network import ChunkNetwork, Rows
from quantkit.runtime.streaming.settings import StreamingSettings, streaming_settings
from quantkit.text.decoding import Decoding
from quantkit.text.flashlight_search import spaced
from quantkit.text.labels import Labels


class StreamingRecognizer(ChunkedModel, Recognizer):
    """A CTC artifact with states.

    Args:
        network: its session.
        decoding: how log-probabilities become the final text; what was said so far is greedy.
    """

    def __init__(
        self, info: ArtifactInfo, network: ChunkNetwork, decoding: Decoding | None = None
    ) -> None:
        super().__init__(info, network.graphs.sessions[network.role.role], decoding)
        self.network = network

    @classmethod
    def load(
        cls, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> StreamingRecognizer:
        """Open the artifact at ``path``.

        Raises:
            ModelError: the file is damaged, does not load, or does not hear in chunks.
        """
        info = read_info(path, check=check)
        settings = streaming_settings(info.extra)
        return cls(info, ChunkNetwork.load(path, settings, threads), decoding)

    @property
    def settings(self) -> StreamingSettings:
        """Of its chunks."""
        return self.network.settings

    def log_probs(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """As :meth:`outputs`."""
        return self.outputs(batch)

    def hearing(self) -> CtcHearing:
        """See :meth:`~quantkit.runtime.streaming.model.ChunkedModel.hearing`."""
        return CtcHearing(self.network, self.labels)


class CtcHearing:
    """The log-probabilities of one clip, chunk by chunk.

    Args:
        network: of the model.
        labels: its alphabet.
    """

    def __init__(self, network: ChunkNetwork, labels: Labels) -> None:
        self._network, self._labels = network, labels
        self._states = network.begin()
        self._rows = Rows(network.settings)
        self._found = [np.empty((0, len(labels)), np.float32)]
        self._last = labels.blank
        self._said: list[int] = []

    def accept(self, chunk: Chunk) -> None:
        """See :meth:`~quantkit.runtime.streaming.model.Hearing.accept`."""
        made, self._states = self._network.run(chunk, self._states)
        require_rows(made["log_probs"], 1, 3, "log_probs")
        values = made["log_probs"][0]
        # Whose graph does not count them gives rows of the clip only.
        valid = int(made["output_lengths"][0]) if "output_lengths" in made else len(values)
        rows = self._rows.of(values, valid)
        self._found.append(rows.copy())
        path = [self._last, *rows.argmax(axis=1).tolist()]
        self._last = path[-1]
        # The first is of the chunk before; a repeat of it is no label of its own.
        self._said += [label for label, _ in groupby(path)][1:]

    @property
    def text(self) -> str:
        """Greedy."""
        return spaced(self._labels, [each for each in self._said if each != self._labels.blank])

    def finished(self) -> Output:
        """(rows, labels) of the clip."""
        return np.concatenate(self._found)

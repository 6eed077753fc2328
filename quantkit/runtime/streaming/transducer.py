"""Transducers whose encoder hears in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.speech_model import Output, require_rows
from quantkit.runtime.streaming.chunks import Chunk, chunks_of
from quantkit.runtime.streaming.model import ChunkedModel, silence_of
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.settings import StreamingSettings, streaming_settings
from quantkit.runtime.transducer.beam import best_path
from quantkit.runtime.transducer.model import Transducer
from quantkit.runtime.transducer.network import TransducerNetwork
from quantkit.runtime.transducer.search import LABEL, GreedySearch, labels_of
from quantkit.runtime.transducer.settings import TransducerSettings, transducer_settings
from quantkit.text.decoding import Decoding


class StreamingTransducerNetwork(TransducerNetwork):
    """The sessions of a transducer; its encoder is run chunk by chunk.

    Args:
        graphs: an encoder with states, and a decoder or a predictor and a joiner.
        settings: of its decoding.
        chunks: of its encoder.
        silence: (bands,), what stands behind a clip.
    """

    def __init__(
        self,
        graphs: GraphSessions,
        settings: TransducerSettings,
        chunks: StreamingSettings,
        silence: FloatArray,
    ) -> None:
        super().__init__(graphs, settings)
        self.chunks = ChunkNetwork(graphs, chunks)
        self.silence = silence

    @classmethod
    def of(cls, path: Path, info: ArtifactInfo, threads: int = 1) -> StreamingTransducerNetwork:
        """Open the files of the artifact at ``path``, which were checked already.

        Raises:
            ModelError: a file is missing or does not load, or does not say how it hears.
        """
        settings, chunks = transducer_settings(info.extra), streaming_settings(info.extra)
        if info.frontend is None:
            raise ModelError(f"{path} carries no front end; make it with `quantkit export`")
        return cls(GraphSessions.load(path, threads), settings, chunks, silence_of(info.frontend))

    def encode(self, batch: Sequence[FloatArray]) -> list[FloatArray]:
        """(steps, width) of each clip, chunk by chunk."""
        return [self._encoded(clip) for clip in batch]

    def _encoded(self, clip: FloatArray) -> FloatArray:
        states, found = self.chunks.begin(), []
        for chunk in chunks_of(clip, self.chunks.settings, self.silence):
            made, states = self.chunks.run(chunk, states)
            found.append(rows_in(made))
        return np.concatenate(found)


def rows_in(made: dict[str, Array]) -> FloatArray:
    """(steps, width) that the encoder gives for a chunk of a clip."""
    require_rows(made["encoded"], 1, 3, "encoded")
    rows: FloatArray = made["encoded"][0]
    # Of a graph that is told where the clip ends.
    lengths = made.get("encoded_lengths")
    return rows if lengths is None else rows[: int(lengths[0])]


class StreamingTransducer(ChunkedModel, Transducer):
    """A transducer's artifact whose encoder has states.

    Args:
        network: its sessions.
        decoding: greedy, or a beam of a width for the final text; what was said so far is greedy.
    """

    network: StreamingTransducerNetwork

    def __init__(
        self,
        info: ArtifactInfo,
        network: StreamingTransducerNetwork,
        decoding: Decoding | None = None,
    ) -> None:
        super().__init__(info, network, decoding)

    @classmethod
    def load(
        cls, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> StreamingTransducer:
        """Open the artifact at ``path``.

        Raises:
            ModelError: a file is missing or damaged, does not load, or does not hear in chunks.
        """
        info = read_info(path, check=check)
        return cls(info, StreamingTransducerNetwork.of(path, info, threads), decoding)

    @property
    def settings(self) -> StreamingSettings:
        """Of its chunks."""
        return self.network.chunks.settings

    def hearing(self) -> TransducerHearing:
        """See :meth:`~quantkit.runtime.streaming.model.ChunkedModel.hearing`."""
        return TransducerHearing(self)


class TransducerHearing:
    """The labels of one clip, chunk by chunk.

    Args:
        model: is shared by all.
    """

    def __init__(self, model: StreamingTransducer) -> None:
        self._model = model
        self._states = model.network.chunks.begin()
        labels = model.labels
        self._search = GreedySearch(model.network, len(labels), labels.blank)
        self._found = [np.empty(0, LABEL)]
        # A beam looks at all of the clip.
        self._encoded: list[FloatArray] = []

    def accept(self, chunk: Chunk) -> None:
        """See :meth:`~quantkit.runtime.streaming.model.Hearing.accept`."""
        made, self._states = self._model.network.chunks.run(chunk, self._states)
        rows = rows_in(made)
        self._found.append(labels_of(self._search.advance(rows), self._model.labels.blank))
        if self._model.width > 1:
            self._encoded.append(rows.copy())

    @property
    def text(self) -> str:
        """Greedy."""
        return self._model.text_of(np.concatenate(self._found))

    def finished(self) -> Output:
        """The labels, an array of :data:`~quantkit.runtime.transducer.search.LABEL`."""
        if not self._encoded:
            return np.concatenate(self._found)
        model = self._model
        return best_path(
            model.network,
            np.concatenate(self._encoded),
            len(model.labels),
            model.labels.blank,
            model.width,
        )

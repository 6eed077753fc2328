"""What a transducer takes for clips whose encoder hears in chunks.

An encoder that is told where a clip ends takes all its chunks at once; otherwise they are one
batch, each with the states that the float model's encoder has there. Behind it stands the path that
the float model takes through all of them. An encoder whose states are of one clip gives a chunk
after the other, and a path through each.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from quantkit.arrays import Array
from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info
from quantkit.runtime.streaming.chunks import Chunk
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.transducer import StreamingTransducerNetwork, rows_in
from quantkit.runtime.transducer.search import GreedySearch, Point
from quantkit.tasks.inputs import Feed
from quantkit.tasks.streaming_inputs import StreamingInputs, together


class StreamingTransducerInputs(StreamingInputs):
    """Each clip alone, along the float model's own states and its own path."""

    def along(self, name: str, chunks: Iterator[Chunk]) -> Iterator[Feed]:
        """Feeds of one clip; chunks that the path passes over are left out where each is one."""
        transducer, network, labels = self._transducer, self._network, self.info.labels
        if labels is None:
            raise ModelError("the model carries no labels; make it with `quantkit export`")
        search = GreedySearch(transducer, len(labels), labels.blank)
        states, before, heard = network.begin(), [], []
        points: list[Point] = []
        rows = 0
        for number, chunk in enumerate(chunks):
            before.append(states)
            heard.append(chunk)
            made, states = network.run(chunk, states)
            encoded = rows_in(made)
            found = [*search.advance(encoded)]
            if self.settings.ends or network.takes_batches:
                points += found
            elif found:
                feed = f"{name}, chunk {number + 1}"
                if number:
                    self._later.add(feed)
                yield feed, {**together([chunk], network), **before[-1], **self._path(found, rows)}
            rows += len(encoded)
        if points and self.settings.ends:
            yield name, {**self.at_once(heard), **self._path(points, 0)}
        elif points:
            states = network.along_batch(before)
            yield name, {**together(heard, network), **states, **self._path(points, 0)}

    def _path(self, points: list[Point], first: int) -> dict[str, Array]:
        """Inputs of predictor and joiner.

        Args:
            first: row of the encoder that counts as 0.
        """
        memories = [point.step.memory for point in points]
        return {
            "frames": np.array([point.frame - first for point in points]),
            "tokens": np.array([memory.tokens for memory in memories]),
            **self._transducer.along_batch([memory.states for memory in memories]),
        }

    @cached_property
    def _transducer(self) -> StreamingTransducerNetwork:
        if self.model is None:
            raise ModelError(
                "calibrating a transducer needs the path of the float model: its predictor and "
                "joiner are observed on the labels that the model itself writes"
            )
        return StreamingTransducerNetwork.of(
            self.model, read_info(self.model, check=False), threads=0
        )

    @cached_property
    def _network(self) -> ChunkNetwork:
        return self._transducer.chunks

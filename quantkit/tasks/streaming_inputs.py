"""What a model that hears in chunks takes for clips.

A graph that is told where a clip ends takes any number of frames, so all chunks of a clip are
given to it at once, as a single one: each layer computes the same numbers as chunk by chunk, and
what an error in one of them does to later chunks is seen. In a chunk alone it hardly is: with a
look-ahead, what a layer makes of a chunk reaches the output chunks later, through the states.

A graph of a fixed chunk gets the chunks of a clip as a batch, each with the states that the float
model has there itself; or one by one, where its states are of one clip. How errors of states add
up is left out there, and found out when the finished file is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.audio.features import checked_windows, load_features
from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import AudioError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.runtime.streaming.chunks import Chunk, chunks_of
from quantkit.runtime.streaming.model import features_in_chunks, silence_of
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.settings import StreamingSettings, streaming_settings
from quantkit.tasks.inputs import ClipInputs, Feed, Portion


class StreamingInputs(ClipInputs):
    """Each clip alone, or a piece of a long one, along the float model's own states."""

    def __init__(self, info: ArtifactInfo, model: Path | None = None) -> None:
        super().__init__(info, model)
        self.settings = streaming_settings(info.extra)
        self._later: set[str] = set()

    def feeds(self, corpus: Corpus, skipped: list[str]) -> Iterator[Feed]:
        """One feed for each clip, or one for each chunk of it.

        Raises:
            ModelError: the float model is not at hand, or carries no front end.
            CorpusError: at the end, when not a single clip was usable.
        """
        frontend = self._frontend
        self.steady.clear()
        usable = False
        for utterance in corpus:
            try:
                for name, chunks in self._clips(utterance, frontend, skipped):
                    if name != utterance.identifier:
                        self._later.add(name)
                    usable = True
                    yield from self.along(name, chunks)
            except AudioError as error:
                skipped.append(str(error))
        if not usable:
            raise corpus.none_usable(skipped)

    def along(self, name: str, chunks: Iterator[Chunk]) -> Iterator[Feed]:
        """Feeds of one clip, with the states that the float model has before each chunk."""
        if self.settings.ends:
            yield name, self.at_once([*chunks])
            return
        network = self._network
        states, heard, before = network.begin(), [], []
        for chunk in chunks:
            heard.append(chunk)
            before.append(states)
            _, states = network.run(chunk, states)
        if network.takes_batches:
            yield name, {**together(heard, network), **network.along_batch(before)}
            return
        for number, (chunk, state) in enumerate(zip(heard, before, strict=True)):
            feed = f"{name}, chunk {number + 1}"
            if number:
                self._later.add(feed)
            yield feed, {**together([chunk], network), **state}

    def portion(self, clip: str, inputs: Mapping[str, Array]) -> Portion:
        """As much of the clip as its chunks move on."""
        recordings = 0 if clip in self._later else 1
        if not inputs or self.info.frontend is None:
            return Portion(recordings, 0.0)
        if self.settings.ends:
            frames = int(inputs["lengths"].sum())
        else:
            frames = len(inputs["features"]) * self.settings.shift
        return Portion(recordings, self.info.frontend.seconds_of(frames))

    def at_once(self, chunks: Sequence[Chunk]) -> dict[str, Array]:
        """All chunks of a clip as a single one, for a graph that is told where the clip ends."""
        features = np.concatenate([chunk.features for chunk in chunks])[None]
        length = sum(chunk.length for chunk in chunks)
        return {"features": features, "lengths": np.array([length]), **self._network.begin()}

    @property
    def _frontend(self) -> AnyFrontend:
        if self.info.frontend is None:
            raise ModelError(
                "the model carries no front end (metadata `quantkit.frontend`), so audio cannot "
                "be fed to it; make it with `quantkit export`"
            )
        return self.info.frontend

    @cached_property
    def _network(self) -> ChunkNetwork:
        if self.model is None:
            raise ModelError(
                "calibrating a model that hears in chunks needs the path of the float model: its "
                "chunks are observed with the states that it has itself"
            )
        return ChunkNetwork.load(self.model, self.settings, threads=0)

    def _clips(
        self, utterance: Utterance, frontend: AnyFrontend, skipped: list[str]
    ) -> Iterator[tuple[str, Iterator[Chunk]]]:
        silence = silence_of(frontend)
        if utterance.features is not None:
            features = load_features(utterance, frontend)
            yield utterance.identifier, chunks_of(features, self.settings, silence)
            return
        windows = checked_windows(utterance, frontend.sample_rate, self.check, skipped)
        for name, samples in windows:
            try:
                features = features_in_chunks([samples], frontend, self.settings)
            except AudioError as error:
                raise AudioError(f"{utterance.place}: {error}") from error
            yield name, chunks_of(features, self.settings, silence)


def chunks_in(inputs: Mapping[str, Array], settings: StreamingSettings) -> Iterator[Chunk]:
    """The chunks of a clip that a feed holds, in order."""
    if not settings.ends:
        yield from (Chunk(features, len(features)) for features in inputs["features"])
        return
    (frames,), (length,) = inputs["features"], inputs["lengths"]
    for begin in range(0, len(frames), settings.shift):
        features = frames[begin : begin + settings.chunk]
        yield Chunk(features, min(len(features), max(0, int(length) - begin)))


def together(chunks: list[Chunk], network: ChunkNetwork) -> dict[str, Array]:
    """Chunks as one batch, as ``network`` takes them."""
    found: dict[str, Array] = {"features": np.stack([chunk.features for chunk in chunks])}
    if network.takes_lengths:
        found["lengths"] = np.array([chunk.length for chunk in chunks])
    return found

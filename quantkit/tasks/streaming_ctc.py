"""CTC models that hear in chunks: one graph with states that go from one chunk into the next.

Two models are compared chunk by chunk, each along its own states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from quantkit.errors import ModelError
from quantkit.tasks.ctc import CtcTask
from quantkit.tasks.names import STREAMING_CTC

if TYPE_CHECKING:
    from quantkit.arrays import Array
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.streaming.recognizer import StreamingRecognizer
    from quantkit.tasks.base import Adoption
    from quantkit.tasks.inputs import Feed
    from quantkit.tasks.streaming_inputs import StreamingInputs
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels


class StreamingCtcTask(CtcTask):
    """``features`` (batch, chunk, bands), ``lengths`` and states to ``log_probs`` and states."""

    name = STREAMING_CTC
    adoption: ClassVar[Adoption | None] = None

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> StreamingInputs:
        """The chunks of each clip, with the float model's states."""
        from quantkit.tasks.streaming_inputs import StreamingInputs

        return StreamingInputs(info, model)

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """Chunk by chunk, with states of its own."""
        from quantkit.graph.artifact import read_info
        from quantkit.runtime.streaming.network import ChunkNetwork
        from quantkit.runtime.streaming.settings import streaming_settings
        from quantkit.tasks.streaming_inputs import chunks_in

        settings = streaming_settings(read_info(path, check=False).extra)
        network = ChunkNetwork.load(path, settings, threads=0)
        for clip, inputs in feeds:
            states, found = network.first_of(inputs), []
            for chunk in chunks_in(inputs, settings):
                made, states = network.run(chunk, states)
                found.append(made[output])
            yield clip, np.concatenate(found)

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> StreamingRecognizer:
        """See :meth:`~quantkit.runtime.streaming.recognizer.StreamingRecognizer.load`."""
        from quantkit.runtime.streaming.recognizer import StreamingRecognizer

        return StreamingRecognizer.load(path, threads, check=check, decoding=decoding)

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """Bundles are not made of them."""
        raise no_bundle_of_chunks(model)


def no_bundle_of_chunks(model: Path) -> ModelError:
    """Why there is no bundle of a model that hears in chunks."""
    return ModelError(
        f"{model} hears in chunks, and the examples of a bundle give a model whole clips; hand "
        "over the file as it is: its metadata say what its states are, and `verify` checks it"
    )

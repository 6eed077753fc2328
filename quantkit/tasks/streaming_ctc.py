"""CTC models that hear in chunks: one graph with states that go from one chunk into the next.

Two models are compared chunk by chunk, each along its own states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quantkit.errors import ModelError
from quantkit.tasks.base import labels_and_frontend
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
    fuses_frontend: ClassVar[bool] = False

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
        """Its labels, and its front end, which the example makes in NumPy."""
        return contents_in_chunks(info, model)

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """How its chunks follow one another."""
        from quantkit.runtime.streaming.settings import streaming_settings

        return {"kind": self.name, **asdict(streaming_settings(info.extra))}


def contents_in_chunks(info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
    """What a bundle of a model that hears in chunks says of its outputs and inputs.

    Raises:
        ModelError: it lacks one of the two, or no example makes its features.
    """
    from quantkit.audio.frontend import Frontend
    from quantkit.audio.kaldi_frontend import KaldiFrontend
    from quantkit.audio.nemo_frontend import NemoFrontend

    labels, frontend = labels_and_frontend(info, model)
    if not isinstance(frontend, Frontend | KaldiFrontend | NemoFrontend):
        raise ModelError(
            f"{model} hears in chunks, and no example of a bundle makes its features "
            f"({type(frontend).__name__}); hand over its files as they are: their metadata say "
            "what their states are, and `verify` checks them"
        )
    return labels, frontend

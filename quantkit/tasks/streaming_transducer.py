"""Transducers whose encoder hears in chunks, with states that go from one into the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from quantkit.tasks.names import STREAMING_TRANSDUCER
from quantkit.tasks.streaming_ctc import contents_in_chunks
from quantkit.tasks.transducer import TransducerTask

if TYPE_CHECKING:
    from quantkit.arrays import Array, FloatArray
    from quantkit.audio.frontends import AnyFrontend
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.streaming.transducer import StreamingTransducer
    from quantkit.runtime.transducer.network import TransducerNetwork
    from quantkit.tasks.inputs import ClipInputs
    from quantkit.text.decoding import Decoding
    from quantkit.text.labels import Labels


class StreamingTransducerTask(TransducerTask):
    """As whole clips have it, but for the encoder, which is run chunk by chunk."""

    name = STREAMING_TRANSDUCER
    fuses_frontend: ClassVar[bool] = False

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> ClipInputs:
        """The chunks, with the encoder's states, and the path that the float model takes."""
        from quantkit.tasks.streaming_transducer_inputs import StreamingTransducerInputs

        return StreamingTransducerInputs(info, model)

    def network(self, path: Path) -> TransducerNetwork:
        """With what its encoder is run by."""
        from quantkit.graph.artifact import read_info
        from quantkit.runtime.streaming.transducer import StreamingTransducerNetwork

        return StreamingTransducerNetwork.of(path, read_info(path, check=False), threads=0)

    def encoded(self, network: TransducerNetwork, inputs: Mapping[str, Array]) -> FloatArray:
        """Of the chunks that a feed holds, with the network's own states between them."""
        from quantkit.runtime.streaming.transducer import StreamingTransducerNetwork, rows_in
        from quantkit.tasks.streaming_inputs import chunks_in

        assert isinstance(network, StreamingTransducerNetwork)
        states, found = network.chunks.first_of(inputs), []
        for chunk in chunks_in(inputs, network.chunks.settings):
            made, states = network.chunks.run(chunk, states)
            found.append(rows_in(made))
        return np.concatenate(found)

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> StreamingTransducer:
        """See :meth:`~quantkit.runtime.streaming.transducer.StreamingTransducer.load`."""
        from quantkit.runtime.streaming.transducer import StreamingTransducer

        return StreamingTransducer.load(path, threads, check=check, decoding=decoding)

    def bundle_contents(self, info: ArtifactInfo, model: Path) -> tuple[Labels, AnyFrontend]:
        """See :func:`~quantkit.tasks.streaming_ctc.contents_in_chunks`."""
        return contents_in_chunks(info, model)

    def decoding_in_bundle(self, info: ArtifactInfo) -> dict[str, Any] | None:
        """How its chunks follow one another, too."""
        from quantkit.runtime.streaming.settings import streaming_settings

        return {
            **(super().decoding_in_bundle(info) or {}),
            **asdict(streaming_settings(info.extra)),
        }

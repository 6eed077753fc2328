"""Whisper: an encoder for each window of audio, and a decoder that writes it down token by token.

The states of the decoder are keys and values of the tokens so far: ``present.<layer>.key`` of one
run is ``past.<layer>.key`` of the next (see :func:`quantkit.graph.roles.short_form`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quantkit.graph.roles import DECODER, ENCODER
from quantkit.tasks.base import Task
from quantkit.tasks.names import WHISPER

if TYPE_CHECKING:
    import onnx

    from quantkit.arrays import Array
    from quantkit.graph.info import ArtifactInfo
    from quantkit.runtime.whisper.model import WhisperModel
    from quantkit.tasks.inputs import Feed
    from quantkit.tasks.whisper_inputs import WhisperInputs
    from quantkit.text.decoding import Decoding

# Frames that the encoder hears at a time, however long the clip.
_WINDOW_FRAMES = 3_000


class EncoderDecoderTask(Task):
    """Two graphs: from ``features`` to ``cross.*``, and on to ``log_probs`` of tokens."""

    name = WHISPER
    roles = (ENCODER, DECODER)
    unit = "token"
    # A window of 30 seconds costs the same however little is said in it, and what the decoder does
    # depends on the language.
    fewest_feeds = 8

    def mark_graphs(self, whole: onnx.ModelProto) -> None:
        """In the shorter form, which every version of quantkit reads."""
        from quantkit.graph.joined import set_short_form

        set_short_form(whole)

    def inputs(self, info: ArtifactInfo, model: Path | None = None) -> WhisperInputs:
        """Windows, and the text that the float model itself writes for them."""
        from quantkit.tasks.whisper_inputs import WhisperInputs

        return WhisperInputs(info, model)

    def clip_shape(self, shape: Sequence[int | str | None], length: int) -> tuple[int, ...]:
        """A window, with its bands before its frames."""
        return 1, int(shape[1] or 1), min(length, _WINDOW_FRAMES)

    def posteriors(
        self, path: Path, output: str, feeds: Iterable[Feed]
    ) -> Iterator[tuple[str, Array]]:
        """With a text that is read token by token: given at once, all tokens would share a grid."""
        from quantkit.graph.artifact import model_files
        from quantkit.runtime.whisper.network import WhisperNetwork

        encoder, decoder = model_files(path)
        network = WhisperNetwork.load(encoder, decoder, threads=0)
        for clip, inputs in feeds:
            yield clip, network.read(inputs["features"], inputs["tokens"], inputs["positions"])

    def open(
        self, path: Path, threads: int = 1, *, check: bool = True, decoding: Decoding | None = None
    ) -> WhisperModel:
        """See :meth:`~quantkit.runtime.whisper.model.WhisperModel.load`."""
        from quantkit.runtime.whisper.model import WhisperModel

        return WhisperModel.load(path, threads, check=check, decoding=decoding)

    def can_run(self, info: ArtifactInfo) -> bool:
        """With its tokens and its front end."""
        return info.vocabulary is not None and info.frontend is not None

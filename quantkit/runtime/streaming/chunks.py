"""Features in chunks, as the runs of a model take them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from quantkit.arrays import FloatArray
from quantkit.runtime.streaming.settings import StreamingSettings


@dataclass(frozen=True)
class Chunk:
    """What one run takes.

    Args:
        features: (chunk, bands).
        length: how many of its first frames are not behind the clip.
    """

    features: FloatArray
    length: int


class Chunks:
    """The chunks of one clip, as soon as their frames are there.

    Args:
        settings: of the model.
        silence: (bands,), what follows a clip whose end the model is not told.
    """

    def __init__(self, settings: StreamingSettings, silence: FloatArray) -> None:
        self._settings, self._silence = settings, silence
        self._waiting = np.zeros((settings.lead, silence.size), np.float32)
        self._frames = self._runs = 0

    def accept(self, features: FloatArray) -> Iterator[Chunk]:
        """Chunks that these frames complete.

        Args:
            features: (frames, bands), any number.
        """
        self._frames += len(features)
        self._waiting = np.concatenate((self._waiting, features))
        yield from self._whole()

    def finish(self) -> Iterator[Chunk]:
        """The last chunks, which hold frames that are not the clip's."""
        settings = self._settings
        missing = settings.runs_for(self._frames) - self._runs
        if missing <= 0:
            return
        known = len(self._waiting)
        wanted = settings.chunk + (missing - 1) * settings.shift
        behind = np.zeros_like(self._silence) if settings.ends else self._silence
        rest = np.repeat(behind[None], max(0, wanted - known), axis=0)
        self._waiting = np.concatenate((self._waiting, rest))
        for chunk in self._whole():
            length = min(chunk.length, max(0, known)) if settings.ends else chunk.length
            known -= settings.shift
            yield Chunk(chunk.features, length)

    def _whole(self) -> Iterator[Chunk]:
        chunk, shift = self._settings.chunk, self._settings.shift
        while len(self._waiting) >= chunk:
            yield Chunk(self._waiting[:chunk], chunk)
            self._waiting = self._waiting[shift:]
            self._runs += 1


def chunks_of(
    features: FloatArray, settings: StreamingSettings, silence: FloatArray
) -> Iterator[Chunk]:
    """The chunks of a whole clip, (frames, bands); see :class:`Chunks`."""
    cutter = Chunks(settings, silence)
    yield from cutter.accept(features)
    yield from cutter.finish()

"""Front ends in a stream: the rows of a clip as soon as its samples are there.

A row is one frame of the spectrum, before anything that takes the whole clip; how a front end's
normalisation runs along is said in :mod:`quantkit.audio.running_normalization`. The rows are those
of the whole clip, however it is cut into pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Doubles, FloatArray
from quantkit.audio.mel import frames_at

#: What stands before a clip's first sample and behind its last: nothing, so that all frames lie
#: inside; zeros; or the clip itself, mirrored.
Edges = Literal["inside", "zeros", "mirrored"]


class FeatureStream(Protocol):
    """Samples → rows, piece by piece, of one clip."""

    def accept(self, samples: FloatArray) -> Doubles:
        """Rows that are known with these samples, (frames, bands), maybe none.

        Args:
            samples: (samples,) at the front end's rate, any number.
        """
        ...

    def finish(self) -> Doubles:
        """The last rows, once there are no more samples; none of a clip shorter than a window."""
        ...


class WindowStream:
    """Rows of windows of samples.

    Args:
        window, hop: samples of a frame, and from one to the next.
        bands: of a row.
        energies: from windows, (frames, window), to rows.
        frames_of: how many frames a clip of so many samples has.
        edges: see :data:`Edges`.
        ahead: samples before the clip that its first frame begins.
        emphasis: what each sample loses of the one before it.
    """

    def __init__(
        self,
        window: int,
        hop: int,
        bands: int,
        energies: Callable[[npt.NDArray[np.floating]], Doubles],
        frames_of: Callable[[int], int],
        *,
        edges: Edges = "inside",
        ahead: int = 0,
        emphasis: float = 0.0,
    ) -> None:
        self.window, self.hop, self.bands = window, hop, bands
        self._energies, self._frames_of = energies, frames_of
        self._edges, self._ahead, self._emphasis = edges, ahead, emphasis
        self._total = self._made = 0
        # From the beginning of the next frame on; the clip's last window, to be mirrored.
        self._rest: Doubles | None = None
        self._tail = np.zeros(0)
        self._before = 0.0

    def accept(self, samples: FloatArray) -> Doubles:
        """See :meth:`FeatureStream.accept`."""
        values = self._emphasised(samples.astype(np.float64))
        self._total += values.size
        if self._rest is None:
            # A clip is at least a window long, so its beginning waits for one: it is mirrored.
            self._tail = np.concatenate((self._tail, values))
            if self._tail.size < self.window:
                return np.empty((0, self.bands))
            self._rest = np.concatenate((self._edge(self._tail[: self._ahead]), self._tail))
        else:
            self._rest = np.concatenate((self._rest, values))
            self._tail = np.concatenate((self._tail, values))
        self._tail = self._tail[-self.window :]
        return self._rows(self._frames_of(self._total))

    def finish(self) -> Doubles:
        """See :meth:`FeatureStream.finish`."""
        if self._rest is None:
            return np.empty((0, self.bands))
        self._rest = np.concatenate((self._rest, self._edge(self._tail)))
        return self._rows(self._frames_of(self._total))

    def _emphasised(self, values: Doubles) -> Doubles:
        if not self._emphasis or not values.size:
            return values
        # The clip's first sample has none before it.
        before = np.concatenate(([self._before], values[:-1]))
        self._before = float(values[-1])
        return values - self._emphasis * before

    def _edge(self, beside: Doubles) -> Doubles:
        """What stands beside the clip.

        Args:
            beside: its samples there, as many as are needed.
        """
        if self._edges == "mirrored":
            return beside[::-1]
        # Behind a clip of which frames lie inside, nothing is needed.
        return np.zeros(beside.size if self._edges == "zeros" else 0)

    def _rows(self, most: int) -> Doubles:
        """Of the whole windows that there are, up to the clip's number ``most``."""
        assert self._rest is not None
        whole = 1 + (len(self._rest) - self.window) // self.hop
        count = max(0, min(whole, most - self._made))
        if not count:
            return np.empty((0, self.bands))
        rows = self._energies(frames_at(self._rest, self.window, self.hop)[:count])
        self._rest = self._rest[count * self.hop :]
        self._made += count
        return rows

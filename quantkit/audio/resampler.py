"""Samples at another rate, in a stream."""

from __future__ import annotations

import numpy as np
import soxr

from quantkit.arrays import FloatArray

QUALITY = "HQ"


class Resampler:
    """Pieces of one clip at another rate (soxr, high quality).

    How the clip is cut into pieces changes nothing: the filter sees across their edges, so each
    piece comes out a little later than it goes in.

    Args:
        rate: of the pieces, in hertz.
        wanted: of the results.
    """

    def __init__(self, rate: int, wanted: int) -> None:
        self._stream = (
            None
            if rate == wanted
            else soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality=QUALITY)
        )

    def accept(self, samples: FloatArray) -> FloatArray:
        """(samples,) that are known with this piece, maybe none."""
        piece = np.ascontiguousarray(samples, dtype=np.float32)
        return piece if self._stream is None else self._stream.resample_chunk(piece)

    def finish(self) -> FloatArray:
        """The rest of the clip."""
        nothing = np.zeros(0, np.float32)
        return nothing if self._stream is None else self._stream.resample_chunk(nothing, last=True)

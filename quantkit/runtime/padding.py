"""Clips of different length as one batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.errors import InputError

#: The shortest input of an artifact: Wav2Letter's first convolution strides over two frames and
#: needs both. Shorter batches are padded to them.
MIN_FRAMES = 2


def padded_batch(
    batch: Sequence[FloatArray], shape: Sequence[int | str | None]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Zero-pad clips at their end into one array, (batch, longest, …), and their lengths.

    Args:
        shape: of one step of a clip as the model takes it; what is no number fits any.

    Raises:
        InputError: clips whose shape is not what the model takes.
    """
    for clip in batch:
        bands = clip.shape[1:]
        fits = len(bands) == len(shape) and all(
            not isinstance(want, int) or want == have
            for want, have in zip(shape, bands, strict=True)
        )
        if not fits:
            raise InputError(
                f"a clip of shape {clip.shape} does not fit the model, which takes "
                f"(length{''.join(f', {n}' for n in shape)}) per clip"
            )
    lengths = np.array([len(clip) for clip in batch], dtype=np.int64)
    longest = max(int(lengths.max()), MIN_FRAMES)
    padded = np.zeros((len(batch), longest, *batch[0].shape[1:]), dtype=np.float32)
    for row, clip in zip(padded, batch, strict=True):
        row[: len(clip)] = clip
    return padded, lengths


def runs_of(
    batch: Sequence[FloatArray], shape: Sequence[int | str | None]
) -> Iterator[Sequence[FloatArray]]:
    """The clips in groups that the model takes at once.

    Args:
        shape: of its input; a number in front is how many clips it takes.
    """
    most = shape[0] if shape and isinstance(shape[0], int) and shape[0] > 0 else len(batch)
    for start in range(0, len(batch), most or 1):
        yield batch[start : start + most]

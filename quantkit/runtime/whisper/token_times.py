"""When each token of a text was said, from the weights of cross-attention.

Dynamic time warping over the attention of the heads that follow the audio, as in the word times of
OpenAI's Whisper. Weights are standardized over the tokens, so that frames that all tokens look at
do not count, and smoothed over the frames by a running median; of all ways that go forward in
tokens and frames, the one over the largest weights is taken (H. Sakoe and S. Chiba, "Dynamic
Programming Algorithm Optimization for Spoken Word Recognition", 1978).
"""

from __future__ import annotations

import numpy as np

from quantkit.arrays import Array, FloatArray

# Frames of the running median.
_MEDIAN = 7


def token_frames(weights: FloatArray) -> Array:
    """The frame at which each row of weights begins.

    Args:
        weights: (heads, rows, frames), of which each row is of a token.

    Returns:
        (rows,) whole numbers that do not fall.
    """
    spread = weights.std(axis=1, keepdims=True)
    standard = (weights - weights.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-12)
    return _first_frames(-_running_median(standard).mean(axis=0))


def _running_median(values: FloatArray) -> FloatArray:
    """Of each frame with those around it; at the ends, frames are mirrored."""
    half = min(_MEDIAN // 2, values.shape[-1] - 1)
    edges = [(0, 0)] * (values.ndim - 1) + [(half, half)]
    padded = np.pad(values, edges, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=-1)
    found: FloatArray = np.median(windows, axis=-1)
    return found


def _first_frames(costs: FloatArray) -> Array:
    """Where each row begins on the cheapest way from the first to the last row and frame.

    A step goes on by a row, by a frame, or by both.
    """
    rows, frames = costs.shape
    total = np.full((rows + 1, frames + 1), np.inf)
    total[0, 0] = 0.0
    # The cells of a diagonal do not depend on one another.
    for diagonal in range(2, rows + frames + 1):
        row = np.arange(max(1, diagonal - frames), min(rows, diagonal - 1) + 1)
        frame = diagonal - row
        before = np.minimum(
            np.minimum(total[row - 1, frame - 1], total[row - 1, frame]), total[row, frame - 1]
        )
        total[row, frame] = costs[row - 1, frame - 1] + before
    first = np.zeros(rows, np.int64)
    row, at = rows, frames
    while row > 0:
        first[row - 1] = at - 1
        steps = (total[row - 1, at - 1], total[row - 1, at], total[row, at - 1])
        best = int(np.argmin(steps))
        row -= best in (0, 1)
        at -= best in (0, 2)
    return first

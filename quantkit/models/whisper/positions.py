"""Whisper's positions of the encoder: sinusoids, not weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

# Checkpoints in half precision contain rounded ones.
_TOLERANCE = 1e-3
_LONGEST_PERIOD = 10_000.0


def frequencies(channels: int) -> npt.NDArray[np.float32]:
    """(channels / 2,) radians per step, from 1 down to 1 / 10,000."""
    half = channels // 2
    steps = np.log(_LONGEST_PERIOD) / (half - 1)
    return np.asarray(np.exp(-steps * np.arange(half)), np.float32)


def sinusoids(length: int, channels: int) -> npt.NDArray[np.float32]:
    """(length, channels): sines, then cosines (Radford et al. 2022, section 2.2)."""
    angles = np.arange(length)[:, None] * frequencies(channels).astype(np.float64)
    return np.asarray(np.concatenate((np.sin(angles), np.cos(angles)), axis=1), np.float32)


def restore_positions(model: Any) -> None:
    """Undo the rounding of the encoder's positions; a model with other positions keeps them.

    Args:
        model: a ``transformers.WhisperForConditionalGeneration``.
    """
    weight = model.model.encoder.embed_positions.weight
    length, channels = weight.shape
    if channels % 2:
        return
    exact = torch.from_numpy(sinusoids(length, channels))
    if (weight.detach() - exact).abs().max() < _TOLERANCE:
        with torch.no_grad():
            weight.copy_(exact)

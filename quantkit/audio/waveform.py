"""Checks that every front end makes on a waveform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from quantkit.errors import AudioError


def require_speech(waveform: npt.NDArray[np.float32], window: int) -> None:
    """Refuse a waveform that no features can be computed from.

    Args:
        waveform: (samples,).
        window: samples of the shortest clip.

    Raises:
        AudioError: the clip is shorter than one window or is not finite.
    """
    if waveform.ndim != 1 or waveform.size < window:
        raise AudioError(f"a clip of {waveform.size} samples is shorter than one window ({window})")
    if not np.isfinite(waveform).all():
        raise AudioError("the clip holds samples that are not finite")

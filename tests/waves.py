"""Clips as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def write_wave(path: Path, loudness: float, seconds: float = 0.5) -> Path:
    """A square wave at 16 kHz."""
    samples = loudness * np.sign(np.sin(np.arange(int(16_000 * seconds)) / 5))
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path

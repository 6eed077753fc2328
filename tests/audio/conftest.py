"""Small clips to make corpora of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 16_000

WriteClip = Callable[..., Path]


@pytest.fixture
def write_clip(tmp_path: Path) -> WriteClip:
    """Write a tone below ``tmp_path``: ``write_clip("a/b.wav", seconds=0.5)``."""

    def write(name: str, seconds: float = 0.25, rate: int = RATE, channels: int = 1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        time = np.arange(round(seconds * rate)) / rate
        tone = 0.5 * np.sin(2 * np.pi * 440.0 * time)
        soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), rate)
        return path

    return write

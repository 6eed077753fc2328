"""The small Wav2Letter of the quantize tests, and clips for it."""

from __future__ import annotations

from tests.small_model import clips, model, run, source

__all__ = ["clips", "model", "run", "source"]

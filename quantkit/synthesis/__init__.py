"""Synthetic speech for training and calibration, from free speech synthesis programs."""

from __future__ import annotations

from quantkit.synthesis.corpus import synthesize
from quantkit.synthesis.engines import Request, SynthesisError, available_voices, speak
from quantkit.synthesis.sentences import KINDS, Kind
from quantkit.synthesis.voices import VOICES, Voice

__all__ = [
    "KINDS",
    "VOICES",
    "Kind",
    "Request",
    "SynthesisError",
    "Voice",
    "available_voices",
    "speak",
    "synthesize",
]

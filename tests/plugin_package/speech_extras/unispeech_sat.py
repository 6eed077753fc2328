"""UniSpeech-SAT (Chen et al., 2021, arXiv:2110.05752): wav2vec 2.0's encoder, trained anew."""

from __future__ import annotations

from transformers import UniSpeechSatForCTC, UniSpeechSatForSequenceClassification

from quantkit.models.adapters import Family
from quantkit.models.adapters.wav2vec2 import transformer

FAMILY = Family(UniSpeechSatForCTC, UniSpeechSatForSequenceClassification, transformer)

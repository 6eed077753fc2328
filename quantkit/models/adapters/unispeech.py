"""UniSpeech (Wang et al., 2021): wav2vec 2.0's architecture with another training method."""

from __future__ import annotations

from transformers import UniSpeechForCTC, UniSpeechForSequenceClassification

from quantkit.models.adapters.family import Family
from quantkit.models.adapters.wav2vec2 import transformer

FAMILY = Family(UniSpeechForCTC, UniSpeechForSequenceClassification, transformer)

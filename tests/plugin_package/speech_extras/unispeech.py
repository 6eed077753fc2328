"""UniSpeech (Wang et al., 2021, arXiv:2101.07597): another training of wav2vec 2.0's encoder."""

from __future__ import annotations

from transformers import UniSpeechForCTC, UniSpeechForSequenceClassification

from quantkit.models.adapters import Family
from quantkit.models.adapters.wav2vec2 import transformer

FAMILY = Family(UniSpeechForCTC, UniSpeechForSequenceClassification, transformer)

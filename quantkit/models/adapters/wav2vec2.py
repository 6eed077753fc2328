"""wav2vec 2.0 (Baevski et al., 2020): the base and large models, MMS, XLS-R."""

from __future__ import annotations

from transformers import (
    PretrainedConfig,
    Wav2Vec2ForCTC,
    Wav2Vec2ForSequenceClassification,
)

from quantkit.models.adapters.family import Family
from quantkit.models.layers.attention import SelfAttention
from quantkit.models.layers.source import Source
from quantkit.models.layers.transformer import TransformerEncoder


def transformer(source: Source, config: PretrainedConfig) -> TransformerEncoder:
    """The encoder of wav2vec 2.0, with layer norm before or after its parts."""

    def attention(part: Source) -> SelfAttention:
        return SelfAttention(part, config.num_attention_heads)

    return TransformerEncoder(source, attention, pre_norm=config.do_stable_layer_norm)


FAMILY = Family(Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification, transformer)

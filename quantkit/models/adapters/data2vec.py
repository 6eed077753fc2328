"""data2vec for audio (Baevski et al., 2022): wav2vec 2.0 with several positional convolutions."""

from __future__ import annotations

from transformers import (
    Data2VecAudioForCTC,
    Data2VecAudioForSequenceClassification,
    PretrainedConfig,
)

from quantkit.models.adapters.family import Family
from quantkit.models.layers.attention import SelfAttention
from quantkit.models.layers.source import Source
from quantkit.models.layers.transformer import PositionalConvolutions, TransformerEncoder


def _encoder(source: Source, config: PretrainedConfig) -> TransformerEncoder:
    def attention(part: Source) -> SelfAttention:
        return SelfAttention(part, config.num_attention_heads)

    return TransformerEncoder(
        source,
        attention,
        pre_norm=False,
        convolution=PositionalConvolutions(source.pos_conv_embed),
    )


FAMILY = Family(Data2VecAudioForCTC, Data2VecAudioForSequenceClassification, _encoder)

"""wav2vec 2.0 with Conformer layers (Wang et al., fairseq S2T, 2020)."""

from __future__ import annotations

from torch import nn
from transformers import (
    PretrainedConfig,
    Wav2Vec2ConformerForCTC,
    Wav2Vec2ConformerForSequenceClassification,
)

from quantkit.models.adapters.family import Family
from quantkit.models.layers.conformer import ConformerEncoder, RelativePositions, RotaryPositions
from quantkit.models.layers.source import Source


def _encoder(source: Source, config: PretrainedConfig) -> ConformerEncoder:
    positions: nn.Module | None = None
    if config.position_embeddings_type == "relative":
        positions = RelativePositions(config.hidden_size)
    elif config.position_embeddings_type == "rotary":
        positions = RotaryPositions(source.embed_positions.inv_freq)
    return ConformerEncoder(source, config.num_attention_heads, positions)


FAMILY = Family(Wav2Vec2ConformerForCTC, Wav2Vec2ConformerForSequenceClassification, _encoder)

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


def positions_of(source: Source) -> nn.Module | None:
    """What makes the positions of such an encoder; None where its layers need none."""
    config = source.config
    if config.position_embeddings_type == "relative":
        return RelativePositions(config.hidden_size)
    if config.position_embeddings_type == "rotary":
        return RotaryPositions(source.embed_positions.inv_freq)
    return None


def _encoder(source: Source, config: PretrainedConfig) -> ConformerEncoder:
    return ConformerEncoder(source, config.num_attention_heads, positions_of(source))


FAMILY = Family(Wav2Vec2ConformerForCTC, Wav2Vec2ConformerForSequenceClassification, _encoder)

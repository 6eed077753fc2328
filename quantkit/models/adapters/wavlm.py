"""WavLM (Chen et al., 2022): wav2vec 2.0 with gated relative positions."""

from __future__ import annotations

from transformers import PretrainedConfig, WavLMForCTC, WavLMForSequenceClassification

from quantkit.models.adapters.family import Family
from quantkit.models.layers.gated_attention import DistanceBias, GatedAttention
from quantkit.models.layers.source import Source
from quantkit.models.layers.transformer import TransformerEncoder


def _encoder(source: Source, config: PretrainedConfig) -> TransformerEncoder:
    return TransformerEncoder(
        source,
        GatedAttention,
        pre_norm=config.do_stable_layer_norm,
        # All layers share the biases of the first.
        positions=DistanceBias(source.layers[0].attention),
    )


FAMILY = Family(WavLMForCTC, WavLMForSequenceClassification, _encoder)

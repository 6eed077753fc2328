"""W2v-BERT 2.0 (Barrault et al., "Seamless", 2023, section 3.2.1): a Conformer on a filter bank."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import Wav2Vec2BertForCTC

from quantkit.audio.seamless_frontend import SeamlessFrontend
from quantkit.errors import CheckpointError
from quantkit.models.adapters.family import FeatureFamily
from quantkit.models.adapters.wav2vec2_conformer import positions_of
from quantkit.models.layers.conformer import ConformerEncoder
from quantkit.models.layers.heads import FeatureCtcModel
from quantkit.models.layers.projected import ProjectedEncoder
from quantkit.models.layers.source import Source
from quantkit.models.settings import count_of


def _frontend(
    settings: Mapping[str, Any], config: Mapping[str, Any], origin: Path
) -> SeamlessFrontend:
    return SeamlessFrontend(
        sample_rate=count_of(settings, "sampling_rate", 16_000, origin),
        bands=count_of(settings, "num_mel_bins", 80, origin),
        stride=count_of(settings, "stride", 2, origin),
    )


def _network(model: Source) -> FeatureCtcModel:
    config, base = model.config, model.wav2vec2_bert
    if config.add_adapter or config.use_intermediate_ffn_before_adapter:
        raise CheckpointError(
            "a W2v-BERT with layers after the encoder (config.add_adapter, "
            "use_intermediate_ffn_before_adapter) is not supported"
        )
    encoder = ConformerEncoder(base.encoder, config.num_attention_heads, positions_of(base.encoder))
    return FeatureCtcModel(ProjectedEncoder(base.feature_projection, encoder), model.lm_head)


FAMILY = FeatureFamily(Wav2Vec2BertForCTC, _network, _frontend)

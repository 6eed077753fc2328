"""The keyword spotter: a small ``Wav2Vec2ConformerForSequenceClassification``.

Gulati et al., "Conformer: Convolution-augmented Transformer for Speech Recognition", 2020, with
relative positions (Dai et al. 2019), on a feature encoder as in Baevski et al., "wav2vec 2.0",
2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from transformers import Wav2Vec2ConformerConfig, Wav2Vec2ConformerForSequenceClassification

from quantkit.training.keywords.filters import gabor_filters
from quantkit.training.keywords.recipe import ModelSettings

# transformers creates a positional convolution that a Conformer never runs; keep it small.
_UNUSED_POSITION_TAPS = 1
_UNUSED_POSITION_GROUPS = 1 << 4
_FIRST_LAYER = "wav2vec2_conformer.feature_extractor.conv_layers.0.conv.weight"
# Positions are computed, not trained; longer clips extend the table.
_FRAMES_TABULATED = 128


def spotter_config(settings: ModelSettings, classes: Sequence[str]) -> Wav2Vec2ConformerConfig:
    """The ``transformers`` configuration of a model for ``classes``."""
    return Wav2Vec2ConformerConfig(
        **asdict(settings),
        feat_extract_norm="group",
        hidden_act="swish",
        position_embeddings_type="relative",
        max_source_positions=_FRAMES_TABULATED,
        num_conv_pos_embeddings=_UNUSED_POSITION_TAPS,
        num_conv_pos_embedding_groups=_UNUSED_POSITION_GROUPS,
        classifier_proj_size=settings.hidden_size,
        activation_dropout=0.0,
        attention_dropout=0.0,
        conformer_conv_dropout=0.0,
        feat_proj_dropout=0.0,
        # Clips are masked as waveforms, which is cheaper and reproducible.
        apply_spec_augment=False,
        mask_time_prob=0.0,
        mask_feature_prob=0.0,
        vocab_size=1,
        bos_token_id=None,
        eos_token_id=None,
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
        architectures=[Wav2Vec2ConformerForSequenceClassification.__name__],
    )


def new_spotter(
    settings: ModelSettings, classes: Sequence[str], sample_rate: int
) -> Wav2Vec2ConformerForSequenceClassification:
    """A model to train: random weights, except for mel filters in the first layer."""
    model = Wav2Vec2ConformerForSequenceClassification(spotter_config(settings, classes))
    filters = gabor_filters(settings.conv_dim[0], settings.conv_kernel[0], sample_rate)
    with torch.no_grad():
        model.get_parameter(_FIRST_LAYER).copy_(torch.from_numpy(filters[:, None]))
    return model

"""A family of ``transformers`` models, and its conversion to a module for export."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from quantkit.errors import CheckpointError
from quantkit.models.layers.clips import Standardization
from quantkit.models.layers.extractor import FeatureExtractor, FeatureProjection
from quantkit.models.layers.heads import Backbone, Classifier, CtcModel
from quantkit.models.layers.source import Source


@dataclass(frozen=True)
class Family:
    """Models of convolutions on the waveform and an encoder.

    Args:
        ctc, classification: the classes of ``transformers``.
        encoder: builds an encoder from that of the source and its configuration. It takes hidden
            states (batch, frames, width) and a mask of the clips (batch, frames), and returns all
            hidden states and the result.
    """

    ctc: type[PreTrainedModel]
    classification: type[PreTrainedModel]
    encoder: Callable[[Source, PretrainedConfig], nn.Module]

    def module(self, model: PreTrainedModel, *, standardized: bool) -> CtcModel | Classifier:
        """``model`` as a module from waveforms and lengths to log-probabilities.

        It shares the weights of ``model``, which is not changed.

        Args:
            standardized: whether clips are first normalised to mean 0 and variance 1.

        Raises:
            CheckpointError: the configuration has an unsupported part.
        """
        config: PretrainedConfig = model.config
        base: Source = model.base_model
        heads: Source = model
        if getattr(config, "add_adapter", False):
            raise CheckpointError(
                "models with convolutions after the encoder (config.add_adapter) are not supported"
            )
        backbone = Backbone(
            Standardization(scaled=standardized),
            FeatureExtractor(base.feature_extractor, config),
            FeatureProjection(base.feature_projection),
            self.encoder(base.encoder, config),
        )
        if isinstance(model, self.ctc):
            return CtcModel(backbone, heads.lm_head).eval()
        return Classifier(
            backbone,
            heads.projector,
            heads.classifier,
            heads.layer_weights if config.use_weighted_layer_sum else None,
        ).eval()

"""A family of ``transformers`` models, and its conversion to a module for export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from quantkit.audio.frontends import AnyFrontend
from quantkit.errors import CheckpointError
from quantkit.models.layers.clips import Standardization
from quantkit.models.layers.extractor import FeatureExtractor, FeatureProjection
from quantkit.models.layers.heads import Backbone, Classifier, CtcModel, FeatureCtcModel
from quantkit.models.layers.source import Source
from quantkit.tasks.names import CLASSIFICATION, CTC


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

    @property
    def tasks(self) -> Mapping[type[PreTrainedModel], str]:
        """The name of the task of each class."""
        return {self.ctc: CTC, self.classification: CLASSIFICATION}

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


@dataclass(frozen=True)
class FeatureFamily:
    """CTC models of features that a front end makes.

    Args:
        ctc: the class of ``transformers``.
        network: what such a model is exported as; see
            :class:`~quantkit.models.layers.heads.FeatureCtcModel`.
        frontend: from the settings of its feature extractor, its configuration, and the file that
            has the settings; raises CheckpointError for settings that it cannot follow.
    """

    ctc: type[PreTrainedModel]
    network: Callable[[Source], FeatureCtcModel]
    frontend: Callable[[Mapping[str, Any], Mapping[str, Any], Path], AnyFrontend]

    @property
    def tasks(self) -> Mapping[type[PreTrainedModel], str]:
        """The name of the task of each class."""
        return {self.ctc: CTC}

    def module(self, model: PreTrainedModel) -> FeatureCtcModel:
        """``model`` as a module from features and lengths to log-probabilities.

        Raises:
            CheckpointError: the configuration has an unsupported part.
        """
        return self.network(model).eval()


AnyFamily: TypeAlias = Family | FeatureFamily

"""From hidden states to log-probabilities: the modules that are exported."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quantkit.models.layers.clips import Standardization, within
from quantkit.models.layers.extractor import FeatureExtractor, FeatureProjection
from quantkit.models.layers.linear import Linear


@dataclass(frozen=True)
class Backbone:
    """The model below the heads.

    Args:
        encoder: maps (batch, frames, width) and (batch, frames) to all hidden states and the
            result.
    """

    standardization: Standardization
    extractor: FeatureExtractor
    projection: FeatureProjection
    encoder: nn.Module


class _SpeechModel(nn.Module):
    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.standardization = backbone.standardization
        self.feature_extractor = backbone.extractor
        self.feature_projection = backbone.projection
        self.encoder = backbone.encoder

    def encode(
        self, waveform: Tensor, lengths: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Hidden states, the result, the mask of the clips, and (batch,) their frames."""
        lengths = torch.minimum(lengths, torch.tensor(waveform.shape[1]))
        clean = self.standardization(waveform, lengths)
        hidden = self.feature_projection(self.feature_extractor(clean, lengths))
        frames = self.feature_extractor.frames(lengths)
        inside = within(frames, hidden.shape[1])
        states, result = self.encoder(hidden, inside)
        return states, result, inside, frames


class CtcModel(_SpeechModel):
    """Label log-probabilities of every frame."""

    def __init__(self, backbone: Backbone, head: nn.Linear) -> None:
        super().__init__(backbone)
        self.lm_head = Linear(head)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run a padded batch.

        Args:
            waveform: (batch, samples), in [-1, 1].
            lengths: (batch,) int64, true samples of each clip.

        Returns:
            (batch, frames, labels) log-probabilities, and (batch,) int64 valid frames.
        """
        _, result, _, frames = self.encode(waveform, lengths)
        return torch.log_softmax(self.lm_head(result), dim=-1), frames


class FeatureCtcModel(nn.Module):
    """The same of a model that takes features.

    Args:
        encoder: maps (batch, frames, bands) and (batch,) lengths to (batch, steps, width) and
            (batch,) valid steps.
    """

    def __init__(self, encoder: nn.Module, head: nn.Linear) -> None:
        super().__init__()
        self.encoder, self.ctc_head = encoder, Linear(head)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run a padded batch.

        Args:
            features: (batch, frames, bands).
            lengths: (batch,) int64, true frames of each clip.

        Returns:
            (batch, steps, labels) log-probabilities, and (batch,) int64 valid steps.
        """
        result, steps = self.encoder(features, lengths)
        return torch.log_softmax(self.ctc_head(result), dim=-1), steps


class Classifier(_SpeechModel):
    """Class log-probabilities of every clip, from the mean over its frames.

    Args:
        layer_weights: (hidden states,), before their softmax, of a model that sums the states of
            all its layers (SUPERB); None: the encoder's result is used.
    """

    def __init__(
        self,
        backbone: Backbone,
        projector: nn.Linear,
        classifier: nn.Linear,
        layer_weights: Tensor | None,
    ) -> None:
        super().__init__(backbone)
        self.projector, self.classifier = Linear(projector), Linear(classifier)
        self.layer_weights = (
            None if layer_weights is None else torch.softmax(layer_weights.detach(), 0).tolist()
        )

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Run a padded batch.

        Args:
            waveform, lengths: see :meth:`CtcModel.forward`.

        Returns:
            (batch, classes) log-probabilities.
        """
        states, result, inside, frames = self.encode(waveform, lengths)
        if self.layer_weights is not None:
            weighted = (w * state for w, state in zip(self.layer_weights, states, strict=True))
            result = torch.stack(tuple(weighted)).sum(0)
        projected = torch.where(inside[:, :, None], self.projector(result), 0.0)
        pooled = projected.sum(1) / frames.clamp(min=1)[:, None]
        return torch.log_softmax(self.classifier(pooled), dim=-1)

"""An encoder of features that are projected to its width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from quantkit.models.layers.clips import within
from quantkit.models.layers.extractor import FeatureProjection
from quantkit.models.layers.source import Source


class ProjectedEncoder(nn.Module):
    """(batch, frames, bands) → (batch, frames, width), and (batch,) valid frames.

    Args:
        projection: layer norm and linear layer of ``transformers``.
        encoder: takes (batch, frames, width) and the mask of the clips (batch, frames), and gives
            all hidden states and the result.
    """

    def __init__(self, projection: Source, encoder: nn.Module) -> None:
        super().__init__()
        self.feature_projection = FeatureProjection(projection)
        self.encoder = encoder

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.minimum(lengths, torch.tensor(features.shape[1]))
        hidden = self.feature_projection(features)
        _, result = self.encoder(hidden, within(lengths, features.shape[1]))
        return result, lengths

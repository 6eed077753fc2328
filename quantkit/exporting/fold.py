"""Fold a Wav2Letter's batch norm into the convolutions before it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from quantkit.models.batch_norm import fold_pair
from quantkit.models.wav2letter import Wav2Letter


def fold_batch_norm(model: Wav2Letter) -> Wav2Letter:
    """A copy of ``model`` in evaluation mode, on the CPU, float32, without batch norm.

    Its outputs equal ``model.eval()``'s up to float32 rounding; ``model`` is unchanged.
    """
    folded = Wav2Letter(replace(model.config, batch_norm=False))
    state = {
        name: value.detach().to("cpu", torch.float32)
        for name, value in model.state_dict().items()
        if ".norm." not in name
    }
    for index, block in enumerate(model.blocks):
        if isinstance(block.norm, nn.BatchNorm1d) and isinstance(block.conv, nn.Conv1d):
            weight, bias = fold_pair(block.conv, block.norm)
            state[f"blocks.{index}.conv.weight"] = weight
            state[f"blocks.{index}.conv.bias"] = bias
    folded.load_state_dict(state)
    return folded.eval()

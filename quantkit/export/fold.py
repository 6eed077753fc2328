"""Fold batch norm into the convolution before it.

In evaluation mode batch norm is a fixed scale and shift per channel (Ioffe and Szegedy, "Batch
Normalization", 2015, algorithm 2), so conv and norm are together one convolution. Zero padding
is applied before the convolution and stays exact.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

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


def fold_pair(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals ``norm(conv(x))`` in evaluation mode.

    Returns:
        (out, in, kernel) and (out,), float32 on the CPU, computed in float64.
    """
    exact = {
        name: value.detach().to("cpu", torch.float64)
        for name, value in norm.state_dict().items()
        if value.is_floating_point()
    }
    scale = 1.0 / torch.sqrt(exact["running_var"] + norm.eps)
    if "weight" in exact:
        scale = scale * exact["weight"]
    shift = exact.get("bias", torch.zeros_like(scale))
    weight = conv.weight.detach().to("cpu", torch.float64)
    bias = torch.zeros_like(scale) if conv.bias is None else conv.bias.detach().to(scale)
    return (
        (weight * scale[:, None, None]).float(),
        ((bias - exact["running_mean"]) * scale + shift).float(),
    )

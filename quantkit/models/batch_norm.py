"""Folding of batch norm into the convolution before it.

In evaluation mode batch norm is a fixed scale and shift per channel (Ioffe and Szegedy, "Batch
Normalization", 2015, algorithm 2), so conv and norm are together one convolution. Zero padding
is applied before the convolution and stays exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


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

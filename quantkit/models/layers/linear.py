"""A linear layer in the layout of ONNX."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """``x · weight + bias`` with the weight as (in, out), a view of the source's (out, in).

    ``torch.onnx`` turns a weight of (out, in) into a transposed copy or an additional node.
    """

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(source.weight.detach().t(), requires_grad=False)
        self.bias = (
            None if source.bias is None else nn.Parameter(source.bias.detach(), requires_grad=False)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        product = torch.matmul(hidden, self.weight)
        return product if self.bias is None else product + self.bias


def scaled(source: nn.Linear, factor: float) -> nn.Linear:
    """The layer that gives ``factor`` times as much; ``source`` itself for a factor of 1."""
    if factor == 1.0:
        return source
    linear = nn.Linear(source.in_features, source.out_features, device="meta")
    linear.weight = nn.Parameter(factor * source.weight.detach(), requires_grad=False)
    bias = None if source.bias is None else factor * source.bias.detach()
    linear.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return linear

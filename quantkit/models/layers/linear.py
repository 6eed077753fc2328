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

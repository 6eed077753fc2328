"""Dropout by random bytes, for training on CPUs.

Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting", 2014.
PyTorch draws one random number for each element on one thread; in a small network that is a fifth
of a training step. One number of 64 bits decides over eight elements here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_VALUES_OF_A_BYTE = 256
_BYTES_OF_A_NUMBER = 8


class Dropout(nn.Dropout):
    """Zeroes elements while training and scales the others, so that their mean stays.

    On a CPU the probability is rounded to a 256th. Elsewhere PyTorch's own dropout runs.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape and type."""
        dropped = round(self.p * _VALUES_OF_A_BYTE)
        if not self.training or x.device.type != "cpu" or not 0 < dropped < _VALUES_OF_A_BYTE:
            return super().forward(x)
        kept = _random_bytes(x) >= dropped
        return x * (kept.to(x.dtype) * (_VALUES_OF_A_BYTE / (_VALUES_OF_A_BYTE - dropped)))


def replace_dropout(model: nn.Module) -> None:
    """Put :class:`Dropout` in the place of PyTorch's own in ``model``."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))


def _random_bytes(like: Tensor) -> Tensor:
    """Uniform uint8 of the same shape."""
    elements = like.numel()
    numbers = torch.empty(-(-elements // _BYTES_OF_A_NUMBER), dtype=torch.int64)
    numbers.random_(-(2**63), None)
    return numbers.view(torch.uint8)[:elements].view(like.shape)

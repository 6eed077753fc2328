"""Weights that are trained on levels of which the rare ones take more bits.

A weight m, in steps of its channel's scale s, takes the level q of least (m − q)² + λ ℓ(q) / s²,
with the length ℓ of its code: entropy-constrained quantization, as
:mod:`~quantkit.codecs.priced_rounding` has it. Two neighbouring magnitudes a < b are equally good
at m = (a + b) / 2 + λ (ℓ(b) − ℓ(a)) / (2 (b − a) s²), which is the border of their cells. Lengths
follow how often levels occur, and λ what the file has room for; both are found now and then. In
between, a weight on its way may take a few bits more or less than there are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from quantkit.arrays import FloatArray
from quantkit.codecs.base import Encoded, Levels
from quantkit.codecs.channels import from_rows, to_rows
from quantkit.codecs.rice import Rice
from quantkit.finetuning.weights import TrainedWeight

#: λ of a weight in the beginning, in squared steps per bit.
_PRICE = 0.05
#: From which it is doubled at most so often until the codes fit; beyond that all weights are 0.
_DOUBLINGS = 12
_HALVINGS = 8
#: Levels of which no weight was seen count as this share of one weight.
_UNSEEN = 0.5


class PricedWeight(TrainedWeight):
    """Of ``rice``: whatever is learned, the codes fit into the file."""

    #: Levels that are fixed could not make room for others.
    encodes_now_and_then = True
    price: Tensor
    lengths: Tensor
    magnitudes: Tensor
    coarseness: Tensor
    settled: Tensor

    def __init__(
        self, codec: Rice, values: FloatArray, first: Encoded, largest_level: int | None
    ) -> None:
        super().__init__(codec, values, first, largest_level)
        self._rice = codec
        magnitudes = codec.magnitudes(largest_level)
        self.register_buffer("magnitudes", torch.from_numpy(magnitudes.astype(np.float32)))
        self.register_buffer("price", torch.tensor(_PRICE))
        # λ is the same for all channels, whatever their steps.
        self.register_buffer("coarseness", self.first_scale.square().mean())
        levels = torch.from_numpy(to_rows(first.levels, first.axis).astype(np.float32))
        self.register_buffer("lengths", self._lengths(levels))
        self._begin_at(levels)
        self.register_buffer("settled", self._state())

    def nearest_levels(self) -> Tensor:
        """The levels that cost least."""
        with torch.no_grad():
            ratios = (self.values / self.scale).contiguous()
            places = torch.searchsorted(self._borders().contiguous(), ratios.abs())
            return torch.copysign(self.magnitudes[places], ratios)

    def bounds(self) -> tuple[Tensor, Tensor]:
        """The outermost levels."""
        return -self.magnitudes[-1], self.magnitudes[-1]

    def neighbours(self) -> tuple[Tensor, Tensor]:
        """See :meth:`~quantkit.finetuning.weights.TrainedWeight.neighbours`."""
        ratios = self.values / self.scale
        above = torch.searchsorted(self.magnitudes, ratios.abs().contiguous(), right=True)
        above = above.clamp_(1, len(self.magnitudes) - 1)
        inner, outer = self.magnitudes[above - 1], self.magnitudes[above]
        negative = ratios < 0
        return torch.where(negative, -outer, inner), torch.where(negative, -inner, outer)

    def refresh(self) -> None:
        """Find lengths and the price anew, so that the codes fit into the file.

        Nothing where the weight has not moved since: what was found then stays.
        """
        state = self._state()
        if torch.equal(state, self.settled):
            return
        self.settled.copy_(state)
        self.lengths.copy_(self._lengths(self.nearest_levels()))
        lowest, highest = 0.0, float(self.price)
        for _ in range(_DOUBLINGS):
            if self._fits_at(highest):
                break
            lowest, highest = highest, 2 * max(highest, _PRICE)
        for _ in range(_HALVINGS):
            middle = (lowest + highest) / 2
            if self._fits_at(middle):
                highest = middle
            else:
                lowest = middle
        self.price.fill_(highest)

    def encoded(self) -> Encoded:
        """On the levels of now; as of a :meth:`refresh`, they fit."""
        scale = self.scale.detach()[:, 0].numpy()
        return self._rice.stored(self._in_shape(self.levels().detach()), scale, self.axis)

    def _state(self) -> Tensor:
        """Figures that change with the weight or its scale."""
        steps, growth = self.steps.detach().double(), self.scale_growth.detach().double()
        return torch.stack([steps.sum(), steps.square().sum(), growth.sum()])

    def _fits_at(self, price: float) -> bool:
        self.price.fill_(price)
        return self._rice.fits(self._in_shape(self.levels()))

    def _in_shape(self, levels: Tensor) -> Levels:
        return from_rows(levels.numpy().astype(np.int8), self.shape, self.axis)

    def _borders(self) -> Tensor:
        """(channels, magnitudes − 1), between each magnitude and the next, in steps."""
        inner, outer = self.magnitudes[:-1], self.magnitudes[1:]
        dearer = (self.lengths[1:] - self.lengths[:-1]).clamp(min=0) / (2 * (outer - inner))
        price = self.price * self.coarseness / self.scale.detach().square()
        borders = (inner + outer) / 2 + price * dearer
        return torch.cummax(borders, dim=1).values

    def _begin_at(self, levels: Tensor) -> None:
        borders = self._borders()
        far = torch.full((len(borders), 1), torch.inf)
        # The cell of 0 goes on on the other side.
        lower = torch.cat([-borders[:, :1], borders], dim=1)
        upper = torch.cat([borders, far], dim=1)
        places = torch.searchsorted(self.magnitudes, levels.abs().contiguous())
        inner, outer = lower.gather(1, places), upper.gather(1, places)
        negative = levels < 0
        self.begin_at(
            levels, torch.where(negative, -outer, inner), torch.where(negative, -inner, outer)
        )

    def _lengths(self, levels: Tensor) -> Tensor:
        """−log₂ of how often each magnitude occurs, with either sign."""
        places = torch.searchsorted(self.magnitudes, levels.abs().contiguous()).reshape(-1)
        counts = torch.bincount(places, minlength=len(self.magnitudes)).float()
        shares = counts.clamp(min=_UNSEEN) / max(levels.numel(), 1)
        shares[1:] /= 2
        return torch.cummax(-torch.log2(shares), dim=0).values

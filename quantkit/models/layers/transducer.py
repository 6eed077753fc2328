"""Transducers (Graves, "Sequence transduction with recurrent neural networks", 2012) in three
parts, as :mod:`quantkit.runtime.transducer.network` runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from quantkit.models.layers.fast_conformer import FastConformerEncoder
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source


class TransducerEncoder(FastConformerEncoder):
    """What the joiner hears: the encoder's result, projected to the joiner's width.

    Args:
        source: a ``ParakeetForRNNT`` or ``ParakeetForTDT``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(source.encoder)
        self.projector = Linear(source.encoder_projector)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, steps, width), and (batch,) valid steps."""
        hidden, steps = super().forward(features, lengths)
        return self.projector(hidden), steps


class Predictor(nn.Module):
    """What the joiner reads: an LSTM over the labels so far.

    Args:
        source: a ``ParakeetRNNTDecoder``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.embedding = source.embedding
        self.lstm = nn.ModuleList(
            LstmCell(source.lstm, number) for number in range(source.lstm.num_layers)
        )
        self.projector = Linear(source.decoder_projector)

    def forward(self, tokens: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Read one label more.

        Args:
            tokens: (points, 1), the last label of each text.
            states: of each layer its hidden state and its cell, (1, points, width).

        Returns:
            (points, width), and the new states.
        """
        hidden = self.embedding(tokens[:, 0])[None]
        after: list[Tensor] = []
        for number, layer in enumerate(self.lstm):
            hidden, cell = layer(hidden, states[2 * number], states[2 * number + 1])
            after += [hidden, cell]
        return self.projector(hidden[0]), after


class LstmCell(nn.Module):
    """One step of one layer of an LSTM as the operator of ONNX; it can only be traced.

    Unrolled, as ``torch.export`` has it, it would be no layer whose weights have an integer kernel.
    """

    def __init__(self, source: nn.LSTM, number: int) -> None:
        super().__init__()
        self.hidden_size = source.hidden_size
        found = [getattr(source, f"{kind}_l{number}") for kind in ("weight_ih", "weight_hh")]
        self.W, self.R = (_constant(_gates(each)) for each in found)
        if source.bias:
            biases = [getattr(source, f"{kind}_l{number}") for kind in ("bias_ih", "bias_hh")]
            self.B = _constant(torch.cat([_gates(each) for each in biases]))
        else:
            self.B = _constant(torch.zeros(8 * source.hidden_size))

    def forward(self, read: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden state and cell, (1, points, width), behind ``read`` (1, points, inputs)."""
        points = read.shape[1]
        state = (1, points, self.hidden_size)
        _, after, remembered = torch.onnx.ops.symbolic_multi_out(
            "LSTM",
            (read, self.W, self.R, self.B, None, hidden, cell),
            {"hidden_size": self.hidden_size},
            dtypes=(read.dtype,) * 3,
            shapes=((1, *state), state, state),
        )
        return after, remembered


class Joiner(nn.Module):
    """Which label comes next, and how many frames later, from an audio and a text.

    Args:
        source: a ``ParakeetRNNTJointNetwork`` or ``ParakeetTDTJointNetwork``.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.activation, self.head = source.activation, Linear(source.head)
        self.labels = int(source.vocab_size)

    def forward(self, encoded: Tensor, frames: Tensor, predicted: Tensor) -> Tensor:
        """Ask for some points.

        Args:
            encoded: (1, steps, width) of a clip.
            frames: (points,), of each point.
            predicted: (points, width), what the predictor makes of the text of each.

        Returns:
            (1, points, labels) log-probabilities, and those of durations behind them.
        """
        heard = encoded[0].index_select(0, frames)
        scores = self.head(self.activation(heard + predicted))
        parts = [scores[:, : self.labels], scores[:, self.labels :]]
        return torch.cat([torch.log_softmax(p, -1) for p in parts if p.shape[1]], 1)[None]


def _gates(rows: Tensor) -> Tensor:
    """Rows of the gates i, f, g, o of PyTorch in ONNX's order i, o, f, c."""
    first, forget, new, out = rows.detach().chunk(4)
    return torch.cat((first, out, forget, new))


def _constant(values: Tensor) -> nn.Parameter:
    """With ONNX's axis of directions, of which there is one."""
    return nn.Parameter(values[None], requires_grad=False)

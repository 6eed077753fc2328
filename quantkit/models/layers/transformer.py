"""Transformer encoders of wav2vec 2.0: positions from a convolution, then layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from quantkit.models.layers.attention import Batch
from quantkit.models.layers.linear import Linear
from quantkit.models.layers.source import Source

# Builds the attention of a layer.
MakeAttention = Callable[[Source], nn.Module]


class PositionalConvolution(nn.Module):
    """Relative positions from a wide grouped convolution (wav2vec 2.0, section 2)."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.batch_norm = getattr(source, "batch_norm", None)
        self.conv = _plain(source.conv)
        self.activation = source.activation
        self.surplus = 1 - self.conv.kernel_size[0] % 2

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        if self.batch_norm is not None:
            # It changes zeros, but the convolution's own padding stays zero.
            hidden = self.batch_norm(hidden.transpose(1, 2)).transpose(1, 2)
            hidden = torch.where(inside, hidden, 0.0)
        hidden = self.conv(hidden.transpose(1, 2))
        if self.surplus:
            hidden = hidden[:, :, : -self.surplus]
        activated: Tensor = self.activation(hidden)
        return activated.transpose(1, 2)


class PositionalConvolutions(nn.Module):
    """The same from several narrow convolutions (data2vec, section 3.2), each normalised."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.layers = nn.ModuleList(NormedConvolution(layer) for layer in source.layers)

    def forward(self, hidden: Tensor, inside: Tensor) -> Tensor:
        for layer in self.layers:
            # What lies behind a clip is the zero padding of a shorter one.
            hidden = layer(torch.where(inside, hidden, 0.0))
        return hidden


class NormedConvolution(nn.Module):
    """Grouped convolution, layer norm over the channels of each frame, activation."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.conv, self.layer_norm = source.conv, source.layer_norm
        self.activation = source.activation
        self.surplus = 1 - self.conv.kernel_size[0] % 2

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.conv(hidden.transpose(1, 2))
        if self.surplus:
            hidden = hidden[:, :, : -self.surplus]
        activated: Tensor = self.activation(self.layer_norm(hidden.transpose(1, 2)))
        return activated


class FeedForward(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.intermediate_dense = Linear(source.intermediate_dense)
        self.activation = source.intermediate_act_fn
        self.output_dense = Linear(source.output_dense)

    def forward(self, hidden: Tensor) -> Tensor:
        projected: Tensor = self.output_dense(self.activation(self.intermediate_dense(hidden)))
        return projected


class PostNormLayer(nn.Module):
    """Attention and feed-forward, each followed by layer norm; the base models' layer."""

    def __init__(self, source: Source, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, FeedForward(source.feed_forward)
        self.layer_norm, self.final_layer_norm = source.layer_norm, source.final_layer_norm

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        hidden = self.layer_norm(hidden + self.attention(hidden, batch))
        normed: Tensor = self.final_layer_norm(hidden + self.feed_forward(hidden))
        return normed


class PreNormLayer(nn.Module):
    """Layer norm before attention and feed-forward; the large models' layer."""

    def __init__(self, source: Source, attention: nn.Module) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, FeedForward(source.feed_forward)
        self.layer_norm, self.final_layer_norm = source.layer_norm, source.final_layer_norm
        adapter = getattr(source, "adapter_layer", None)
        self.adapter_layer = None if adapter is None else LanguageAdapter(adapter)

    def forward(self, hidden: Tensor, batch: Batch) -> Tensor:
        hidden = hidden + self.attention(self.layer_norm(hidden), batch)
        hidden = hidden + self.feed_forward(self.final_layer_norm(hidden))
        return hidden if self.adapter_layer is None else hidden + self.adapter_layer(hidden)


class LanguageAdapter(nn.Module):
    """The small layers for one language of a multilingual model (MMS, section 5.1)."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.norm, self.activation = source.norm, source.act_fn
        self.linear_1, self.linear_2 = Linear(source.linear_1), Linear(source.linear_2)

    def forward(self, hidden: Tensor) -> Tensor:
        adapted: Tensor = self.linear_2(self.activation(self.linear_1(self.norm(hidden))))
        return adapted


class TransformerEncoder(nn.Module):
    """(batch, frames, width) → the input of the first layer and the output of each one; the result.

    Args:
        source: encoder of the ``transformers`` model.
        pre_norm: whether layer norm comes before attention and feed-forward (the large models), and
            once more after the last layer.
        positions: computes ``batch.positions`` from the number of frames.
        convolution: what is added to the input of the first layer; by default that of wav2vec 2.0.
    """

    def __init__(
        self,
        source: Source,
        make_attention: MakeAttention,
        *,
        pre_norm: bool,
        positions: nn.Module | None = None,
        convolution: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.pre_norm, self.embed_positions = pre_norm, positions
        self.pos_conv_embed = convolution or PositionalConvolution(source.pos_conv_embed)
        self.layer_norm = source.layer_norm
        kind = PreNormLayer if pre_norm else PostNormLayer
        self.layers = nn.ModuleList(
            kind(layer, make_attention(layer.attention)) for layer in source.layers
        )

    def forward(self, hidden: Tensor, inside: Tensor) -> tuple[list[Tensor], Tensor]:
        positions = None if self.embed_positions is None else self.embed_positions(hidden.shape[1])
        batch = Batch.of(inside, positions)
        hidden = torch.where(batch.inside, hidden, 0.0)
        hidden = hidden + self.pos_conv_embed(hidden, batch.inside)
        if not self.pre_norm:
            hidden = self.layer_norm(hidden)
        states = [hidden]
        for layer in self.layers:
            states.append(layer(states[-1], batch))
        return states, self.layer_norm(states[-1]) if self.pre_norm else states[-1]


def _plain(conv: nn.Conv1d) -> nn.Conv1d:
    """``conv`` with its normalised weight as a constant; it shares the bias."""
    weight = conv.weight.detach()
    plain = nn.Conv1d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size[0],
        padding=conv.padding[0],
        groups=conv.groups,
        device="meta",
    )
    plain.weight = nn.Parameter(weight, requires_grad=False)
    plain.bias = conv.bias
    return plain

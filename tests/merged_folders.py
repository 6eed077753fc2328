"""Tiny models with random weights, as optimum exports them: an encoder and a merged decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from quantkit.exporting.tracing import trace
from quantkit.graph.joined import add_prefix

WIDTH, HEADS, LAYERS = 32, 2, 2
SIZE = WIDTH // HEADS


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        for name in ("q", "k", "v", "o", "cross_q", "cross_k", "cross_v", "cross_o"):
            setattr(self, name, nn.Linear(WIDTH, WIDTH, bias=False))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(
        self, hidden: Tensor, mask: Tensor, past: list[Tensor], cross: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        inner = functional.layer_norm(hidden, (WIDTH,))
        key = torch.cat((past[0], by_head(self.k(inner))), 2)
        value = torch.cat((past[1], by_head(self.v(inner))), 2)
        scores = by_head(self.q(inner)) @ key.transpose(2, 3) / SIZE**0.5 + mask
        hidden = hidden + self.o(merged(scores.softmax(-1) @ value))
        scores = by_head(self.cross_q(functional.layer_norm(hidden, (WIDTH,))))
        scores = scores @ cross[0].transpose(2, 3) / SIZE**0.5
        hidden = hidden + self.cross_o(merged(scores.softmax(-1) @ cross[1]))
        inner = functional.layer_norm(hidden, (WIDTH,))
        return hidden + self.down(functional.silu(self.up(inner))), [key, value]


class Decoder(nn.Module):
    """What both branches share."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(outputs, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def written(
        self, tokens: Tensor, past: list[Tensor], cross: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        before, count = past[0].shape[2], tokens.shape[1]
        place = torch.arange(count) + before
        mask = torch.where(torch.arange(before + count) > place[:, None], -1e9, 0.0)
        hidden = self.embed(tokens) + 0.1 * place[:, None].to(torch.float32).sin()
        present: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            at = slice(2 * index, 2 * index + 2)
            hidden, states = layer(hidden, mask, past[at], cross[at])
            present += states
        return functional.linear(hidden, self.embed.weight), present


class Later(nn.Module):
    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, tokens: Tensor, past: list[Tensor], cross: list[Tensor]) -> list[Tensor]:
        logits, present = self.decoder.written(tokens, past, cross)
        return [logits, *present]


class First(Later):
    """As the published graphs do it: how many clips there are is asked of the tokens."""

    def forward(self, tokens: Tensor, hidden: Tensor) -> list[Tensor]:  # type: ignore[override]
        clips = tokens.shape[0]
        cross = [
            dense(hidden).reshape(clips, -1, HEADS, SIZE).transpose(1, 2)
            for layer in self.decoder.layers
            for dense in (layer.cross_k, layer.cross_v)
        ]
        nothing = torch.zeros(clips, HEADS, 0, SIZE)
        logits, present = self.decoder.written(tokens, [nothing] * (2 * LAYERS), cross)
        return [logits, *present, *cross]


def by_head(values: Tensor) -> Tensor:
    split: Tensor = values.unflatten(-1, (HEADS, SIZE))
    return split.transpose(1, 2)


def merged(values: Tensor) -> Tensor:
    return values.transpose(1, 2).flatten(2)


def states(prefix: str, side: str) -> list[str]:
    """Names of keys and values."""
    return [f"{prefix}.{n}.{side}.{kind}" for n in range(LAYERS) for kind in ("key", "value")]


def write_graphs(
    folder: Path, encoder: nn.Module, heard: Tensor, hears: str, decoder: Decoder
) -> None:
    """``encoder_model.onnx`` and ``decoder_model_merged.onnx``.

    Args:
        heard: an example of what the encoder takes; the axes of odd sizes may have any.
        hears: its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    any_size = torch.export.Dim.DYNAMIC
    axes = {axis: any_size for axis, size in enumerate(heard.shape) if size % 2}
    model = trace(encoder, (heard,), [hears], ["last_hidden_state"], (axes,), 18).model_proto
    onnx.save(model, str(folder / "encoder_model.onnx"))
    past = [torch.zeros(3, HEADS, 5, SIZE) for _ in range(2 * LAYERS)]
    cross = [torch.zeros(3, HEADS, 11, SIZE) for _ in range(2 * LAYERS)]
    tokens = torch.zeros(3, 7, dtype=torch.int64)
    growing = [{0: any_size, 2: any_size} for _ in past]
    later = trace(
        Later(decoder),
        (tokens, past, cross),
        ["input_ids", *states("past_key_values", "decoder"), *states("past_key_values", "encoder")],
        ["logits", *states("present", "decoder")],
        ({0: any_size, 1: any_size}, growing, growing),
        18,
    ).model_proto
    first = trace(
        First(decoder),
        (tokens, torch.zeros(3, 11, WIDTH)),
        ["input_ids", "encoder_hidden_states"],
        ["logits", *states("present", "decoder"), *states("present", "encoder")],
        ({0: any_size, 1: any_size}, {0: any_size, 1: any_size}),
        18,
    ).model_proto
    onnx.save(merged_decoder(first, later), str(folder / "decoder_model_merged.onnx"))


def merged_decoder(first: onnx.ModelProto, later: onnx.ModelProto) -> onnx.ModelProto:
    """One graph with an ``If``, as optimum merges two."""
    outputs = ["logits", *states("present", "decoder"), *states("present", "encoder")]
    inputs = {value.name: value for value in (*first.graph.input, *later.graph.input)}
    declared = {value.name: value for value in (*later.graph.output, *first.graph.output)}
    bodies, weights = [], []
    for prefix, model in (("later.", later), ("first.", first)):
        add_prefix(model.graph, prefix)
        graph = model.graph
        weights += list(graph.initializer)
        made = {value.name for value in graph.output}
        # What the later branch does not compute again, it gives as nothing.
        empty = np.zeros((0, HEADS, 1, SIZE), np.float32)
        bodies.append(
            helper.make_graph(
                list(graph.node),
                prefix,
                [],
                [declared[name] for name in outputs],
                [numpy_helper.from_array(empty, name) for name in outputs if name not in made],
            )
        )
    choice = helper.make_node(
        "If", ["use_cache_branch"], outputs, then_branch=bodies[0], else_branch=bodies[1]
    )
    flag = helper.make_tensor_value_info("use_cache_branch", TensorProto.BOOL, [1])
    graph = helper.make_graph(
        [choice],
        "merged",
        [*inputs.values(), flag],
        [declared[name] for name in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=later.opset_import, ir_version=8)

"""An encoder, and a decoder with states, as one graph that is cut into two files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from quantkit.exporting.canonicalize import clean
from quantkit.exporting.naming import name_by_module, name_sizes
from quantkit.exporting.sinusoids import compute_positions
from quantkit.exporting.tracing import trace, traced_into
from quantkit.graph.joined import add_prefix, join, set_short_form
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.tensors import tensor_array

#: Size of the batch of the traced example; any that is not 0, 1 or equal to others would do.
BATCH = 3
_COUNT, _WANTED, _PAST = 7, 4, 5


@dataclass(frozen=True)
class Halves:
    """Both modules.

    Args:
        encoder: gives keys (clips, heads, head_size, heard) and values (clips, heads, heard,
            head_size) of each layer of the decoder in turn.
        decoder: see :meth:`quantkit.models.whisper.network.WhisperDecoder.forward`.
    """

    encoder: nn.Module
    decoder: nn.Module


@dataclass(frozen=True)
class Hearing:
    """What the encoder takes.

    Args:
        name: of the input.
        example: a batch of :data:`BATCH`.
        sizes: names of its dynamic axes.
    """

    name: str
    example: Tensor
    sizes: Mapping[int, str]


@dataclass(frozen=True)
class States:
    """Sizes of what the decoder remembers and attends to.

    Args:
        layers, heads, size: of the decoder; ``size`` is that of a head.
        heard: steps that the encoder makes of the example.
    """

    layers: int
    heads: int
    size: int
    heard: int


def build_encoder_decoder(
    halves: Halves, hearing: Hearing, states: States, opset: int, scratch: Path
) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: what the encoder hears, ``tokens`` (batch, count), ``positions`` (wanted,),
    ``past.<layer>.key`` and ``.value`` (batch, heads, past, head_size). Outputs: ``log_probs``
    (batch, wanted, vocabulary), ``present.…`` as ``past.…`` with the new tokens, and ``cross.…``,
    where the graph is cut.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    layers, heads, size, heard = states.layers, states.heads, states.size, states.heard
    crossing = _state_names(CROSSING, layers)
    any_size = torch.export.Dim.DYNAMIC
    encoder = _traced(
        halves.encoder,
        (hearing.example,),
        [hearing.name],
        crossing,
        (dict.fromkeys(hearing.sizes, any_size),),
        opset,
        scratch / ENCODER,
    )
    past = [torch.zeros(BATCH, heads, _PAST, size) for _ in range(2 * layers)]
    cross = [
        torch.zeros(BATCH, heads, *((size, heard) if index % 2 == 0 else (heard, size)))
        for index in range(2 * layers)
    ]
    decoder = _traced(
        halves.decoder,
        (torch.zeros(BATCH, _COUNT, dtype=torch.int64), torch.arange(_WANTED), past, cross),
        ["tokens", "positions", *_state_names(PAST, layers), *crossing],
        ["log_probs", *_state_names(PRESENT, layers)],
        (
            {0: any_size, 1: any_size},
            {0: any_size},
            [{0: any_size, 2: any_size}] * (2 * layers),
            [{0: any_size, 3: any_size}, {0: any_size, 2: any_size}] * layers,
        ),
        opset,
        scratch / DECODER,
    )
    _take_batch_from_tokens(decoder.graph)
    _tie_embedding(decoder.graph)
    compute_positions(encoder.graph)
    add_prefix(encoder.graph, "encoder.")
    add_prefix(decoder.graph, "decoder.")
    sizes: dict[str, Mapping[int, str]] = {
        hearing.name: hearing.sizes,
        "tokens": {0: "batch", 1: "count"},
        "positions": {0: "wanted"},
        "log_probs": {0: "batch", 1: "wanted"},
        **{name: {0: "batch", 2: "past"} for name in _state_names(PAST, layers)},
        **{name: {0: "batch", 2: "total"} for name in _state_names(PRESENT, layers)},
        **{name: {0: "clips", 3: "heard"} for name in crossing[0::2]},
        **{name: {0: "clips", 2: "heard"} for name in crossing[1::2]},
    }
    name_sizes(encoder.graph, sizes)
    name_sizes(decoder.graph, sizes)
    set_short_form(encoder)
    return join([encoder, decoder])


def _state_names(kind: str, layers: int) -> list[str]:
    return [f"{kind}{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


def _traced(
    module: nn.Module,
    example: tuple[Tensor | Sequence[Tensor], ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Any, ...],
    opset: int,
    folder: Path,
) -> onnx.ModelProto:
    folder.mkdir()
    program = trace(module.eval(), example, inputs, outputs, dynamic_shapes, opset)
    model = traced_into(folder, program)
    clean(model, name_by_module)
    return model


def _take_batch_from_tokens(graph: onnx.GraphProto) -> None:
    """Let one clip serve any number of hypotheses.

    The tracer takes all batch sizes for equal and may read any of them; that of the clip is 1.
    """
    for node in graph.node:
        if node.op_type != "Shape" or not node.input[0].startswith((CROSSING, PAST)):
            continue
        if {each.name: each.i for each in node.attribute} == {"start": 0, "end": 1}:
            node.input[0] = "tokens"


def _tie_embedding(graph: onnx.GraphProto) -> None:
    """Let the projection read the embedding through a ``Transpose``, so that it is stored once.

    A model whose projection has weights of its own keeps both.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    projection, embedding = tensors["projection.weight"], tensors["embed_tokens.weight"]
    if not np.array_equal(tensor_array(projection), tensor_array(embedding).T):
        return
    graph.initializer.remove(projection)
    node = helper.make_node(
        "Transpose", ["embed_tokens.weight"], [projection.name], "projection.transposed"
    )
    graph.node.insert(0, node)

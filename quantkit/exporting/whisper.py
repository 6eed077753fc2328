"""Whisper → an artifact of two files: the encoder, and the decoder with its memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from quantkit.disk.files import refuse_overwriting
from quantkit.errors import ModelError
from quantkit.exporting.canonicalize import clean
from quantkit.exporting.naming import name_by_module
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.sinusoids import compute_positions
from quantkit.exporting.tracing import OPSET, require_known_opset, trace, traced_into
from quantkit.exporting.whisper_parity import check_whisper_parity, whisper_references
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import add_prefix, join
from quantkit.graph.roles import DECODER, ENCODER, beside
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.models.whisper.checkpoint import load_whisper
from quantkit.models.whisper.network import WhisperDecoder, WhisperEncoder
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.whisper.cross_attention import with_alignment_heads
from quantkit.runtime.whisper.cut_windows import with_window
from quantkit.tasks.encoder_decoder import EncoderDecoderTask
from quantkit.version import __version__

_TASK = EncoderDecoderTask()

# Sizes of the traced example; any that are not 0, 1 or equal would do.
_BATCH, _COUNT, _WANTED, _PAST, _FRAMES = 3, 7, 4, 5, 2_998


def export_whisper(
    source: Path,
    destination: Path,
    *,
    opset: int = OPSET,
    name: str = "",
    adapter: Path | None = None,
    window: float | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write the Whisper in ``source`` and prove that it gives the numbers of ``transformers``.

    The encoder is written to ``destination``, the decoder beside it; see
    :mod:`quantkit.graph.joined`. Both appear only after the parity check has passed.

    Args:
        source: a folder of ``transformers``, or of CTranslate2 with unquantized weights, or a
            ``.pt`` of OpenAI.
        opset: ONNX operator set, 18 to 23.
        name: what the metadata says; by default the source's.
        adapter: folder of a LoRA adapter that is merged into the model.
        window: seconds of silence behind a clip that the artifact computes, where nothing else is
            asked for; None: whole windows.
        external_threshold: bytes of weights beyond which they go to a file of their own.

    Raises:
        CheckpointError: files are missing, damaged, or another model's.
        ParityError: a graph differs from PyTorch; nothing is written.
        InputError: an opset out of range, or a destination that is a file of the checkpoint.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    for target in (destination, beside(destination, DECODER)):
        refuse_overwriting(target, files_of(source))
    checkpoint = load_whisper(source, adapter)
    info = ArtifactInfo(
        frontend=checkpoint.frontend,
        task=_TASK.name,
        model_sha256=checkpoint.sha256,
        version=__version__,
        name=name or name_of(source),
        licence=checkpoint.licence,
        vocabulary=checkpoint.vocabulary,
    )
    if checkpoint.alignment_heads:
        info = with_alignment_heads(info, checkpoint.alignment_heads)
    if window is not None:
        info = with_window(info, window)
    with folder_beside(destination) as scratch:
        references = whisper_references(checkpoint.model)
        whole = build_whisper(checkpoint.model, opset, scratch)
        # Its weights are in files now; in memory, they would lie beside those of ONNX Runtime.
        del checkpoint
        malloc_trim()
        return save_artifact(
            whole,
            replace(info, plan=float_plan(whole, info.model_sha256)),
            destination,
            partial(check_whisper_parity, references),
            external_threshold=external_threshold,
        )


def build_whisper(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: ``features`` (clips, mel_bands, frames), ``tokens`` (batch, count), ``positions``
    (wanted,), ``past.<layer>.key`` and ``.value`` (batch, heads, past, head_size). Outputs:
    ``log_probs`` (batch, wanted, vocabulary), ``present.…`` as ``past.…`` with the new tokens,
    and ``cross.…``, where the graph is cut.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    config = model.config
    layers, heads = int(config.decoder_layers), int(config.decoder_attention_heads)
    size = int(config.d_model) // heads
    crossing = _state_names("cross", layers)
    any_size = torch.export.Dim.DYNAMIC
    encoder = _traced(
        WhisperEncoder(model),
        (torch.zeros(_BATCH, int(config.num_mel_bins), _FRAMES),),
        ["features"],
        crossing,
        ({0: any_size, 2: any_size},),
        opset,
        scratch / ENCODER,
    )
    heard = _FRAMES // 2
    past = [torch.zeros(_BATCH, heads, _PAST, size) for _ in range(2 * layers)]
    cross = [
        torch.zeros(_BATCH, heads, *((size, heard) if index % 2 == 0 else (heard, size)))
        for index in range(2 * layers)
    ]
    decoder = _traced(
        WhisperDecoder(model),
        (torch.zeros(_BATCH, _COUNT, dtype=torch.int64), torch.arange(_WANTED), past, cross),
        ["tokens", "positions", *_state_names("past", layers), *crossing],
        ["log_probs", *_state_names("present", layers)],
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
    _name_dimensions(encoder.graph)
    _name_dimensions(decoder.graph)
    _TASK.mark_graphs(encoder)
    return join([encoder, decoder])


def _state_names(kind: str, layers: int) -> list[str]:
    return [f"{kind}.{layer}.{part}" for layer in range(layers) for part in ("key", "value")]


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
        if node.op_type != "Shape" or not node.input[0].startswith(("cross.", "past.")):
            continue
        if {each.name: each.i for each in node.attribute} == {"start": 0, "end": 1}:
            node.input[0] = "tokens"


def _tie_embedding(graph: onnx.GraphProto) -> None:
    """Let the projection read the embedding through a ``Transpose``, so that it is stored once."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    projection = tensors["projection.weight"]
    graph.initializer.remove(projection)
    node = helper.make_node(
        "Transpose", ["embed_tokens.weight"], [projection.name], "projection.transposed"
    )
    graph.node.insert(0, node)


def _name_dimensions(graph: onnx.GraphProto) -> None:
    """Give dynamic axes the names that people read in other exports."""
    names = {
        "features": {0: "clips", 2: "frames"},
        "tokens": {0: "batch", 1: "count"},
        "positions": {0: "wanted"},
        "log_probs": {0: "batch", 1: "wanted"},
        "past": {0: "batch", 2: "past"},
        "present": {0: "batch", 2: "total"},
        "cross.key": {0: "clips", 3: "heard"},
        "cross.value": {0: "clips", 2: "heard"},
    }
    for value in (*graph.input, *graph.output):
        kind, *parts = value.name.split(".")
        axes = names.get(f"{kind}.{parts[-1]}" if kind == "cross" else kind)
        if axes is None:
            raise ModelError(f"the traced Whisper has an unknown value {value.name}")
        for axis, dimension in axes.items():
            value.type.tensor_type.shape.dim[axis].dim_param = dimension

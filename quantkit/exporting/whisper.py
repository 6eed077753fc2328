"""Whisper → an artifact of two files: the encoder, and the decoder with its memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch

from quantkit.disk.files import refuse_overwriting
from quantkit.exporting.encoder_decoder import (
    BATCH,
    Halves,
    Hearing,
    States,
    build_encoder_decoder,
)
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.text_parity import check_texts
from quantkit.exporting.tracing import OPSET, require_known_opset
from quantkit.exporting.whisper_parity import whisper_references
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import DECODER, beside
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.models.whisper.checkpoint import load_whisper
from quantkit.models.whisper.network import WhisperDecoder, WhisperEncoder
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.whisper.cross_attention import with_alignment_heads
from quantkit.runtime.whisper.cut_windows import with_window
from quantkit.tasks.whisper import WhisperTask
from quantkit.version import __version__

_TASK = WhisperTask()

# Of the traced example.
_FRAMES = 2_998


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
            partial(check_texts, references),
            external_threshold=external_threshold,
        )


def build_whisper(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the mark that it is to be cut.

    Inputs: ``features`` (clips, mel_bands, frames) and those of
    :func:`~quantkit.exporting.encoder_decoder.build_encoder_decoder`.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    config = model.config
    heads = int(config.decoder_attention_heads)
    return build_encoder_decoder(
        Halves(WhisperEncoder(model), WhisperDecoder(model)),
        Hearing(
            "features",
            torch.zeros(BATCH, int(config.num_mel_bins), _FRAMES),
            {0: "clips", 2: "frames"},
        ),
        States(int(config.decoder_layers), heads, int(config.d_model) // heads, _FRAMES // 2),
        opset,
        scratch,
    )

"""Wav2Letter → an artifact that the stock ONNX Runtime loads."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx
import torch
from torch import Tensor

from quantkit.audio.frontend import Frontend
from quantkit.disk.files import refuse_overwriting, sha256_of
from quantkit.errors import InputError
from quantkit.exporting.canonicalize import clean
from quantkit.exporting.fold import fold_batch_norm
from quantkit.exporting.frontend_graph import fuse_frontend
from quantkit.exporting.naming import name_by_convolution
from quantkit.exporting.parity import ParityReport, check_parity
from quantkit.exporting.references import Wav2LetterReference
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.tracing import OPSET, require_known_opset, trace
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.models.checkpoint import CONFIG_NAME, load_wav2letter, weights_path
from quantkit.models.wav2letter import Wav2Letter
from quantkit.tasks.names import ASG, CTC
from quantkit.text.labels import Labels
from quantkit.version import __version__

# Frames and batch of the traced example. Any values that are not 0, 1 or equal would do.
_EXAMPLE_BATCH, _EXAMPLE_FRAMES = 3, 101


def export_checkpoint(
    source: Path,
    destination: Path,
    *,
    with_frontend: bool = False,
    opset: int = OPSET,
    name: str = "",
) -> ParityReport:
    """Export a checkpoint folder or file; ``name`` defaults to the card's, then the folder's.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        InputError: ``destination`` is a file of the checkpoint.
        ParityError, InputError, OutputError: see :func:`export_wav2letter`.
    """
    weights = weights_path(source)
    refuse_overwriting(destination, (weights, weights.parent / CONFIG_NAME))
    model, labels, frontend, card = load_wav2letter(source)
    return export_wav2letter(
        model,
        labels,
        frontend,
        destination,
        with_frontend=with_frontend,
        opset=opset,
        name=name or str(card.get("name", "")) or weights.resolve().parent.name,
        licence=str(card.get("licence", "")),
        model_sha256=sha256_of(weights),
    )


def export_wav2letter(
    model: Wav2Letter,
    labels: Labels,
    frontend: Frontend,
    destination: Path,
    *,
    with_frontend: bool = False,
    opset: int = OPSET,
    name: str = "",
    licence: str = "",
    model_sha256: str = "",
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write ``model`` as an artifact and prove that ONNX Runtime gives PyTorch's numbers.

    The file appears at ``destination`` only after the parity check has passed. Batch and frames
    are dynamic; a batch needs at least two frames (25 ms of audio and a hop).

    Args:
        with_frontend: take ``waveform`` (batch, samples) instead of ``features``.
        opset: ONNX operator set, 18 to 23.
        name, licence, model_sha256: what the metadata says about the source.
        external_threshold: bytes of weights beyond which they go to ``<name>.onnx.data``.

    Raises:
        ParityError: the graph differs from PyTorch; nothing is written.
        InputError: an opset out of range, or labels or features that do not fit the model.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    proto = build_model(model, labels, frontend, opset)
    info = ArtifactInfo(
        labels=labels,
        frontend=frontend,
        task=CTC if labels.asg is None else ASG,
        plan=float_plan(proto, model_sha256),
        model_sha256=model_sha256,
        version=__version__,
        name=name,
        licence=licence,
    )
    if with_frontend:
        set_info(proto, info)
        proto = fuse_frontend(proto, frontend)
        info = replace(info, fused=True)
    reference = Wav2LetterReference(model, frontend if with_frontend else None)
    return save_artifact(
        proto,
        info,
        destination,
        partial(check_parity, reference),
        external_threshold=external_threshold,
    )


def build_model(
    model: Wav2Letter, labels: Labels, frontend: Frontend, opset: int = OPSET
) -> onnx.ModelProto:
    """The clean float32 graph from ``features`` and ``lengths``, without metadata.

    Raises:
        InputError: labels or features that do not fit the model.
    """
    config = model.config
    if len(labels) != config.labels or frontend.mel_bands != config.features:
        raise InputError(
            f"the model has {config.features} features and {config.labels} labels, but was given "
            f"a front end of {frontend.mel_bands} bands and {len(labels)} labels"
        )
    batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=2)
    example: tuple[Tensor, Tensor] = (
        torch.zeros(_EXAMPLE_BATCH, _EXAMPLE_FRAMES, config.features),
        torch.full((_EXAMPLE_BATCH,), _EXAMPLE_FRAMES),
    )
    program = trace(
        fold_batch_norm(model),
        example,
        ["features", "lengths"],
        ["log_probs", "output_lengths"],
        ({0: batch, 1: frames}, {0: batch}),
        opset,
    )
    proto = program.model_proto
    clean(proto, name_by_convolution)
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "output_frames"
    return proto

"""Wav2Letter → an artifact that the stock ONNX Runtime loads."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor

import quantkit
from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError, ModelError
from quantkit.export.clean import clean
from quantkit.export.fold import fold_batch_norm
from quantkit.export.frontend_graph import fuse_frontend
from quantkit.export.parity import ParityReport, check_parity
from quantkit.files import refuse_overwriting, sha256_of
from quantkit.graph.artifact import (
    EXTERNAL_DATA_THRESHOLD,
    ArtifactInfo,
    save_checked_model,
    set_info,
)
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import LayerPlan, Plan
from quantkit.models.checkpoint import CONFIG_NAME, load_wav2letter, weights_path
from quantkit.models.wav2letter import Wav2Letter
from quantkit.text.labels import Labels

# The lowest opset that torch.onnx.export(dynamo=True) writes without converting. With its IR
# version, 8, the file loads in every ONNX Runtime since 1.15; newer opsets bring this graph
# nothing and lose old runtimes.
OPSET = 18
# What onnxruntime 1.31 and the exporter both know.
NEWEST_OPSET = 23

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
    if not OPSET <= opset <= NEWEST_OPSET:
        raise InputError(f"opset {opset} is not supported; choose {OPSET} to {NEWEST_OPSET}")
    proto = build_model(model, labels, frontend, opset)
    info = ArtifactInfo(
        labels=labels,
        frontend=frontend,
        task="ctc",
        plan=float_plan(proto, model_sha256),
        model_sha256=model_sha256,
        version=quantkit.__version__,
        name=name,
        licence=licence,
    )
    set_info(proto, info)
    if with_frontend:
        proto = fuse_frontend(proto, frontend)
    _check(proto)
    return save_checked_model(
        proto,
        destination,
        partial(check_parity, model),
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
    with _quiet():
        program = torch.onnx.export(
            fold_batch_norm(model),
            example,
            dynamo=True,
            input_names=["features", "lengths"],
            output_names=["log_probs", "output_lengths"],
            dynamic_shapes=({0: batch, 1: frames}, {0: batch}),
            opset_version=opset,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch.onnx.export returned no program")
    proto = program.model_proto
    clean(proto)
    proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "output_frames"
    return proto


def float_plan(model: onnx.ModelProto, model_sha256: str) -> dict[str, Any]:
    """The plan (``quantkit.plan/1``) of a model in which nothing is quantized."""
    rows = tuple(
        LayerPlan(
            name=layer.name,
            op=layer.op,
            shape=layer.shape,
            codec="float32",
            bits=32,
            compute="float32",
            activation_bits=32,
            range="none",
            bytes=4 * layer.parameters,
        )
        for layer in find_layers(model)
    )
    return Plan(rows, model_sha256, method="float32").to_json()


def _check(model: onnx.ModelProto) -> None:
    # The checker serialises the model, which protobuf refuses beyond 2 GB; such a model is
    # proved by ONNX Runtime alone, in the parity check.
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights < EXTERNAL_DATA_THRESHOLD:
        onnx.checker.check_model(model, full_check=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's remarks about packages and axes that do not concern the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

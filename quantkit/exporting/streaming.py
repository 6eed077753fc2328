"""Wav2Letter → an artifact that hears in chunks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from quantkit.arrays import FloatArray
from quantkit.audio.frontend import Frontend
from quantkit.audio.running_normalization import expected_of
from quantkit.disk.files import refuse_overwriting, sha256_of
from quantkit.errors import InputError, ParityError
from quantkit.exporting.canonicalize import clean
from quantkit.exporting.fold import fold_batch_norm
from quantkit.exporting.naming import name_by_convolution
from quantkit.exporting.parity import ParityCase, ParityReport
from quantkit.exporting.references import Wav2LetterReference
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.tracing import OPSET, require_known_opset, trace
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import set_roles
from quantkit.graph.roles import BATCH, MODEL, GraphRole, State
from quantkit.models.checkpoint import CONFIG_NAME, load_wav2letter, weights_path
from quantkit.models.streaming_wav2letter import StreamingWav2Letter
from quantkit.models.wav2letter import Wav2Letter
from quantkit.runtime.streaming.chunks import chunks_of
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.recognizer import CtcHearing
from quantkit.runtime.streaming.settings import STREAMING, StreamingSettings
from quantkit.tasks.names import STREAMING_CTC
from quantkit.text.labels import Labels
from quantkit.version import __version__

#: Largest difference from the whole clip's log-probabilities, relative where they are beyond 1.
TOLERANCE = 1e-5
_LONGEST_CHUNK = 30.0
_EXAMPLE_BATCH = 3


def export_streaming_checkpoint(
    source: Path, destination: Path, seconds: float, *, opset: int = OPSET, name: str = ""
) -> ParityReport:
    """Export a checkpoint folder or file; ``name`` defaults to the card's, then the folder's.

    Raises:
        CheckpointError: the checkpoint is missing or damaged.
        InputError: ``destination`` is a file of the checkpoint.
        ParityError, InputError, OutputError: see :func:`export_streaming_wav2letter`.
    """
    weights = weights_path(source)
    refuse_overwriting(destination, (weights, weights.parent / CONFIG_NAME))
    model, labels, frontend, card = load_wav2letter(source)
    return export_streaming_wav2letter(
        model,
        labels,
        frontend,
        destination,
        seconds,
        opset=opset,
        name=name or str(card.get("name", "")) or weights.resolve().parent.name,
        licence=str(card.get("licence", "")),
        model_sha256=sha256_of(weights),
    )


def export_streaming_wav2letter(
    model: Wav2Letter,
    labels: Labels,
    frontend: Frontend,
    destination: Path,
    seconds: float,
    *,
    opset: int = OPSET,
    name: str = "",
    licence: str = "",
    model_sha256: str = "",
) -> ParityReport:
    """Write ``model`` as an artifact that hears in chunks, and prove that it gives PyTorch's
    numbers for whole clips.

    Args:
        seconds: of a chunk.
        opset: ONNX operator set, 18 to 23.
        name, licence, model_sha256: what the metadata says about the source.

    Raises:
        ParityError: the chunks differ from the whole clip; nothing is written.
        InputError: a chunk or an opset out of range, or labels or features that do not fit the
            model.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    if labels.asg is not None:
        raise InputError(
            "a model trained with ASG finds its text in whole clips; export it without --streaming"
        )
    if len(labels) != model.config.labels or frontend.mel_bands != model.config.features:
        raise InputError(
            f"the model has {model.config.features} features and {model.config.labels} labels, "
            f"but was given a front end of {frontend.mel_bands} bands and {len(labels)} labels"
        )
    module = StreamingWav2Letter(fold_batch_norm(model), labels.blank)
    chunk = frames_in(seconds, frontend, module.stride)
    settings = StreamingSettings(
        chunk=chunk,
        shift=chunk,
        stride=module.stride,
        delay=module.delay,
        look_ahead=module.delay * module.stride,
        ends=True,
        expected=expected_of(frontend, frontend.seconds_of(1)),
    )
    proto = build_streaming_model(module, chunk, opset)
    info = ArtifactInfo(
        labels=labels,
        frontend=frontend,
        task=STREAMING_CTC,
        plan=float_plan(proto, model_sha256),
        model_sha256=model_sha256,
        version=__version__,
        name=name,
        licence=licence,
        extra={STREAMING: settings.to_json()},
    )
    check = partial(_compared, Wav2LetterReference(model), settings, labels)
    return save_artifact(proto, info, destination, check)


def frames_in(seconds: float, frontend: Frontend, stride: int) -> int:
    """Frames of a chunk.

    Raises:
        InputError: it is no whole number of the model's strides, or is too long.
    """
    step = frontend.seconds_of(stride)
    steps = seconds / step
    if not 0 < seconds <= _LONGEST_CHUNK or round(steps) < 1 or abs(steps - round(steps)) > 1e-6:
        raise InputError(
            f"a chunk is a multiple of {1000 * step:g} ms, for which the model gives a row, up to "
            f"{_LONGEST_CHUNK:g} s; {1000 * seconds:g} ms is not"
        )
    return round(steps) * stride


def build_streaming_model(
    module: StreamingWav2Letter, chunk: int, opset: int = OPSET
) -> onnx.ModelProto:
    """The clean float32 graph of one chunk of any length; its list of graphs names the states.

    Args:
        chunk: frames of features of the example that is traced.
    """
    config, caches = module.model.config, module.caches
    # Each of its own: inputs that are one tensor would be traced as one.
    counts = (torch.full((_EXAMPLE_BATCH,), chunk) for _ in range(3))
    example: tuple[torch.Tensor | list[torch.Tensor], ...] = (
        torch.zeros(_EXAMPLE_BATCH, chunk, config.features),
        *counts,
        [torch.zeros(_EXAMPLE_BATCH, *shape) for shape in caches.values()],
    )
    batch = {0: torch.export.Dim("batch")}
    # A whole clip can be one chunk, too, so that a step sees how an error goes on.
    frames = {1: module.stride * torch.export.Dim("rows", min=1)}
    names = ("frames", "heard", *caches)
    outputs = ["log_probs", "output_lengths", *(f"next.{each}" for each in names)]
    program = trace(
        module,
        example,
        ["features", "lengths", *(f"state.{each}" for each in names)],
        outputs,
        (batch | frames, batch, batch, batch, [batch for _ in caches]),
        opset,
    )
    proto = program.model_proto
    clean(proto, name_by_convolution)
    for value, axis in ((proto.graph.input[0], "frames"), (proto.graph.output[0], "rows")):
        value.type.tensor_type.shape.dim[1].dim_param = axis
    counted = tuple(
        State(f"state.{each}", f"next.{each}", (BATCH,), "int64") for each in ("frames", "heard")
    )
    cached = tuple(
        State(f"state.{each}", f"next.{each}", (BATCH, *shape)) for each, shape in caches.items()
    )
    set_roles(proto, (GraphRole(MODEL, tuple(outputs), states=(*counted, *cached)),))
    return proto


def _compared(
    reference: Wav2LetterReference, settings: StreamingSettings, labels: Labels, path: Path
) -> ParityReport:
    """Do chunks give what PyTorch gives for whole clips?

    Raises:
        ParityError: they do not.
    """
    network = ChunkNetwork.load(path, settings, threads=0)
    generator = np.random.default_rng(0)
    chunk = settings.chunk
    lengths = sorted({*reference.lengths, chunk - 1, chunk, chunk + 1, 3 * chunk} - {1})
    clips = reference.clips(lengths, generator)
    cases = tuple(
        _case(clip, rows, network, labels)
        for clip, rows in zip(clips, reference.outputs(clips), strict=True)
    )
    report = ParityReport(TOLERANCE, cases, "PyTorch on whole clips")
    if not report.worst.difference <= TOLERANCE:
        raise ParityError(
            f"{path.name} differs from PyTorch on whole clips: {report.worst.where}, beyond the "
            f"tolerance of {TOLERANCE:g}"
        )
    return report


def _case(
    clip: FloatArray, expected: FloatArray, network: ChunkNetwork, labels: Labels
) -> ParityCase:
    hearing = CtcHearing(network, labels)
    for chunk in chunks_of(clip, network.settings, np.zeros(clip.shape[1], np.float32)):
        hearing.accept(chunk)
    found = hearing.finished()
    where = f"a clip of {len(clip)} frames"
    if found.shape != expected.shape:
        words = f"{where}: output shape {found.shape} instead of {expected.shape}"
        return ParityCase(1, len(clip), float("inf"), words)
    difference = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    # NaN compares as false with anything; it is no agreement.
    worst = float(difference.max()) if np.isfinite(difference).all() else float("inf")
    return ParityCase(1, len(clip), worst, f"{where}: off by {worst:.3g}")

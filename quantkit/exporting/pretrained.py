"""CTC models and classifiers of ``transformers`` → an artifact that ONNX Runtime loads."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import onnx
import torch
from torch import nn

from quantkit.disk.files import refuse_overwriting
from quantkit.errors import InputError
from quantkit.exporting.canonicalize import clean
from quantkit.exporting.frontend_graph import can_fuse, fuse_frontend
from quantkit.exporting.naming import name_by_module, name_sizes
from quantkit.exporting.parity import ParityReport, check_parity
from quantkit.exporting.references import FeatureReference, PretrainedReference
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.shortest import pad_to_shortest
from quantkit.exporting.tracing import OPSET, require_known_opset, trace, traced_into
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo, info_of, set_info
from quantkit.models.layers.heads import CtcModel
from quantkit.models.lora import merge_adapter
from quantkit.models.pretrained import Pretrained, load_pretrained
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.version import __version__

# Deeper than a Wav2Letter, with normalisations that bring up the rounding of soft clips.
TOLERANCE = 1e-3


def export_pretrained(
    folder: Path,
    destination: Path,
    *,
    with_frontend: bool = False,
    opset: int = OPSET,
    name: str = "",
    language: str = "",
    adapter: Path | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write the ``transformers`` model in ``folder`` as an artifact.

    The file appears at ``destination`` only after ONNX Runtime has given the numbers that
    ``transformers`` gives for each clip alone. Batch and samples, or frames, are dynamic.

    Args:
        with_frontend: let a model of features take ``waveform`` (batch, samples) instead.
        opset: ONNX operator set, 18 to 23.
        name: what the metadata says; by default the folder's.
        language: of a model that has an adapter for each of several; empty: that of its tokenizer.
        adapter: folder of a LoRA adapter that is merged into the model.
        external_threshold: bytes of weights beyond which they go to ``<name>.onnx.data``.

    Raises:
        CheckpointError: files are missing or damaged, or the architecture is not known.
        ParityError: the graph differs from ``transformers``; nothing is written.
        InputError: an opset out of range, ``destination`` is a file of the model, or
            ``with_frontend`` for a model whose front end cannot be made of nodes.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    refuse_overwriting(destination, files_of(folder))
    source = load_pretrained(folder, language)
    if adapter is not None:
        digest = merge_adapter(source.model, adapter, source.sha256)
        source = source._replace(sha256=digest)
    if with_frontend and (source.takes_waveforms or not can_fuse(source.frontend)):
        raise InputError(
            f"--with-frontend is for a model of features, and {folder} takes waveforms"
            if source.takes_waveforms
            else f"the front end of {folder} cannot be made of nodes: leave --with-frontend out"
        )
    with folder_beside(destination) as scratch:
        proto = _graph(source, opset, scratch)
        info = ArtifactInfo(
            labels=source.labels,
            classes=source.classes,
            frontend=source.frontend,
            fused=source.takes_waveforms,
            task=source.architecture.task,
            plan=float_plan(proto, source.sha256),
            model_sha256=source.sha256,
            version=__version__,
            name=name or name_of(folder),
            licence=source.licence,
        )
        if with_frontend:
            set_info(proto, info)
            proto = fuse_frontend(proto, source.frontend)
            info = info_of(proto)
        reference = _reference(source, with_frontend)
        return save_artifact(
            proto,
            info,
            destination,
            partial(check_parity, reference, tolerance=TOLERANCE),
            external_threshold=external_threshold,
        )


def _graph(source: Pretrained, opset: int, scratch: Path) -> onnx.ModelProto:
    module = source.module()
    if source.takes_waveforms:
        return build_model(module, source.frontend.window, opset, scratch)
    return build_feature_model(module, source.bands, opset, scratch)


def _reference(source: Pretrained, with_frontend: bool) -> PretrainedReference | FeatureReference:
    if source.takes_waveforms:
        return PretrainedReference(
            source.model, standardized=source.standardized, window=source.frontend.window
        )
    return FeatureReference(source.model, source.bands, source.frontend, fused=with_frontend)


def build_model(module: nn.Module, window: int, opset: int, scratch: Path) -> onnx.ModelProto:
    """The clean float32 graph from ``waveform`` and ``lengths``, without metadata.

    Args:
        window: samples of the shortest clip that gives a frame.
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    batch = torch.export.Dim("batch")
    samples = torch.export.Dim("samples", min=window)
    # Batch and samples of the traced example: any values that are not 0, 1 or equal would do.
    count, length = 3, 2 * window + 80
    outputs = ["log_probs"]
    if isinstance(module, CtcModel):
        outputs.append("output_lengths")
    program = trace(
        module,
        (torch.zeros(count, length), torch.full((count,), length)),
        ["waveform", "lengths"],
        outputs,
        ({0: batch, 1: samples}, {0: batch}),
        opset,
    )
    proto = traced_into(scratch, program)
    clean(proto, name_by_module)
    pad_to_shortest(proto, window)
    if isinstance(module, CtcModel):
        proto.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "output_frames"
    return proto


def build_feature_model(
    module: nn.Module, bands: int, opset: int, scratch: Path
) -> onnx.ModelProto:
    """The clean float32 graph from ``features`` and ``lengths``, without metadata.

    Args:
        scratch: see :func:`build_model`.
    """
    any_size = torch.export.Dim.DYNAMIC
    count, length = 3, 97
    program = trace(
        module,
        (torch.zeros(count, length, bands), torch.full((count,), length)),
        ["features", "lengths"],
        ["log_probs", "output_lengths"],
        ({0: any_size, 1: any_size}, {0: any_size}),
        opset,
    )
    proto = traced_into(scratch, program)
    clean(proto, name_by_module)
    name_sizes(
        proto.graph,
        {
            "features": {0: "batch", 1: "frames"},
            "lengths": {0: "batch"},
            "log_probs": {0: "batch", 1: "output_frames"},
            "output_lengths": {0: "batch"},
        },
    )
    return proto

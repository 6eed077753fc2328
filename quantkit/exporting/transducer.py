"""Parakeet RNN-T and TDT → an artifact of an encoder, a predictor and a joiner."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from quantkit.disk.files import refuse_overwriting
from quantkit.exporting.canonicalize import clean
from quantkit.exporting.naming import name_by_module, name_sizes
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, folder_beside, save_artifact
from quantkit.exporting.tracing import OPSET, require_known_opset, trace, traced_into
from quantkit.exporting.transducer_parity import TransducerReference, check_transducer
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.joined import add_prefix, join, set_roles
from quantkit.graph.roles import BATCH, ENCODER, GraphRole, State, beside
from quantkit.models.layers.transducer import Joiner, Predictor, TransducerEncoder
from quantkit.models.pretrained_files import files_of, name_of
from quantkit.models.transducers import load_transducer
from quantkit.runtime.malloc_trim import malloc_trim
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TRANSDUCER
from quantkit.tasks.names import TRANSDUCER as TASK
from quantkit.version import __version__

# Sizes of the traced example; any that are not 0, 1 or equal would do.
_BATCH, _FRAMES, _STEPS, _POINTS = 3, 97, 11, 5


def export_transducer(
    folder: Path,
    destination: Path,
    *,
    opset: int = OPSET,
    name: str = "",
    adapter: Path | None = None,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write the transducer in ``folder`` and prove that it gives the numbers of ``transformers``.

    The encoder is written to ``destination``, predictor and joiner beside it; see
    :mod:`quantkit.runtime.transducer.network`. All appear only after the parity check has passed.

    Args:
        opset: ONNX operator set, 18 to 23.
        name: what the metadata says; by default the folder's.
        adapter: folder of a LoRA adapter that is merged into the model.
        external_threshold: bytes of weights beyond which they go to a file of their own.

    Raises:
        CheckpointError: files are missing or damaged, or a part is not supported.
        ParityError: a graph differs from ``transformers``; nothing is written.
        InputError: an opset out of range, or a destination that is a file of the model.
        OutputError: ``destination`` cannot be written.
    """
    require_known_opset(opset)
    for target in (destination, *(beside(destination, role) for role in (PREDICTOR, JOINER))):
        refuse_overwriting(target, files_of(folder))
    source = load_transducer(folder, adapter)
    with folder_beside(destination) as scratch:
        whole = build_transducer(source.model, opset, scratch)
        malloc_trim()
        info = ArtifactInfo(
            labels=source.labels,
            frontend=source.frontend,
            task=TASK,
            plan=float_plan(whole, source.sha256),
            model_sha256=source.sha256,
            version=__version__,
            name=name or name_of(folder),
            licence=source.licence,
            extra={TRANSDUCER: source.settings.to_json()},
        )
        reference = TransducerReference(source.model, source.frontend.mel_bands)
        check = partial(check_transducer, reference, source.settings, source.labels)
        return save_artifact(whole, info, destination, check, external_threshold=external_threshold)


def build_transducer(model: Any, opset: int, scratch: Path) -> onnx.ModelProto:
    """The whole float32 graph, without metadata but the list of its parts.

    Args:
        scratch: a folder for the weights, which must stay while the graph is used.
    """
    encoder = _encoder(model, opset, scratch / ENCODER)
    return with_decoder(
        encoder, GraphRole(ENCODER, ("encoded", "encoded_lengths")), model, opset, scratch
    )


def with_decoder(
    encoder: onnx.ModelProto, role: GraphRole, model: Any, opset: int, scratch: Path
) -> onnx.ModelProto:
    """The whole graph of an encoder's, and of the predictor and joiner of ``model``.

    Args:
        role: of the encoder.
        scratch: see :func:`build_transducer`.
    """
    config = model.config
    states = lstm_states(int(config.num_decoder_layers), int(config.decoder_hidden_size))
    predictor = _predictor(model, states, opset, scratch / PREDICTOR)
    joiner = _joiner(model, opset, scratch / JOINER)
    set_roles(
        encoder,
        (
            role,
            GraphRole(PREDICTOR, ("predicted", *(s.output for s in states)), True, states),
            GraphRole(JOINER, ("log_probs",), True),
        ),
    )
    parts = {ENCODER: encoder, PREDICTOR: predictor, JOINER: joiner}
    for name, part in parts.items():
        add_prefix(part.graph, f"{name}.")
    return join([*parts.values()])


def lstm_states(layers: int, width: int) -> tuple[State, ...]:
    """Hidden state and cell of each layer, in the order of :class:`Predictor`."""
    return tuple(
        State(f"{kind}.{layer}", f"next_{kind}.{layer}", (1, BATCH, width))
        for layer in range(layers)
        for kind in ("hidden", "cell")
    )


def _encoder(model: Any, opset: int, folder: Path) -> onnx.ModelProto:
    bands = int(model.config.encoder_config.num_mel_bins)
    any_size = torch.export.Dim.DYNAMIC
    return traced_part(
        TransducerEncoder(model),
        (torch.zeros(_BATCH, _FRAMES, bands), torch.full((_BATCH,), _FRAMES)),
        {"features": {0: "batch", 1: "frames"}, "lengths": {0: "batch"}},
        {"encoded": {0: "batch", 1: "steps"}, "encoded_lengths": {0: "batch"}},
        ({0: any_size, 1: any_size}, {0: any_size}),
        opset,
        folder,
    )


def _predictor(model: Any, states: tuple[State, ...], opset: int, folder: Path) -> onnx.ModelProto:
    any_size = torch.export.Dim.DYNAMIC
    first = [torch.from_numpy(state.initial(_POINTS)) for state in states]
    return traced_part(
        Predictor(model.decoder),
        (torch.zeros(_POINTS, 1, dtype=torch.int64), first),
        {"tokens": {0: "points"}, **{state.input: {1: "points"} for state in states}},
        {"predicted": {0: "points"}, **{state.output: {1: "points"} for state in states}},
        ({0: any_size}, [{1: any_size}] * len(states)),
        opset,
        folder,
    )


def _joiner(model: Any, opset: int, folder: Path) -> onnx.ModelProto:
    width, any_size = int(model.config.decoder_hidden_size), torch.export.Dim.DYNAMIC
    return traced_part(
        Joiner(model.joint),
        (
            torch.zeros(1, _STEPS, width),
            torch.arange(_POINTS),
            torch.zeros(_POINTS, width),
        ),
        {"encoded": {1: "steps"}, "frames": {0: "points"}, "predicted": {0: "points"}},
        {"log_probs": {1: "points"}},
        ({1: any_size}, {0: any_size}, {0: any_size}),
        opset,
        folder,
    )


def traced_part(
    module: nn.Module,
    example: tuple[Tensor | list[Tensor], ...],
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Mapping[str, Mapping[int, str]],
    dynamic_shapes: tuple[Any, ...],
    opset: int,
    folder: Path,
) -> onnx.ModelProto:
    """The clean graph of ``module``; inputs and outputs come with the names of their sizes."""
    folder.mkdir()
    program = trace(module.eval(), example, [*inputs], [*outputs], dynamic_shapes, opset)
    model = traced_into(folder, program)
    clean(model, name_by_module)
    name_sizes(model.graph, {**inputs, **outputs})
    return model

"""A PyTorch module as an ONNX graph, through ``torch.onnx``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import open_model
from quantkit.graph.tensors import embed, raw_size

# The lowest opset that torch.onnx.export(dynamo=True) writes without converting. With its IR
# version, 8, the file loads in every ONNX Runtime since 1.15; newer opsets bring these graphs
# nothing and lose old runtimes.
OPSET = 18
# What onnxruntime 1.31 and the exporter both know.
NEWEST_OPSET = 23

# Bytes.
_SMALLEST_LEFT = 1024


def require_known_opset(opset: int) -> None:
    """Refuse an operator set that exporter or runtime do not know.

    Raises:
        InputError: it is out of range.
    """
    if not OPSET <= opset <= NEWEST_OPSET:
        raise InputError(f"opset {opset} is not supported; choose {OPSET} to {NEWEST_OPSET}")


def trace(
    module: nn.Module,
    example: tuple[Tensor | Sequence[Tensor], ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dynamic_shapes: tuple[Mapping[int, Any] | Sequence[Mapping[int, Any]], ...],
    opset: int,
) -> torch.onnx.ONNXProgram:
    """What ``torch.onnx`` makes of ``module``.

    Args:
        example: inputs; sizes of dynamic axes must differ, and be neither 0 nor 1.
        dynamic_shapes: for each input, or each of a list of them, its dynamic axes.

    Raises:
        ModelError: the exporter has no result.
    """
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            opset_version=opset,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise ModelError("torch.onnx.export returned no program")
    return program


def traced_into(folder: Path, program: torch.onnx.ONNXProgram) -> onnx.ModelProto:
    """The graph of ``program`` with its weights in a file in ``folder``.

    That file must stay while the graph is used. A graph in memory would copy all weights. Small
    ones are in the graph, where shape inference can read them.
    """
    path = folder / "traced.onnx"
    with _quiet():
        program.save(path, external_data=True)
    model = open_model(path)
    embed(tensor for tensor in model.graph.initializer if raw_size(tensor) < _SMALLEST_LEFT)
    return model


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

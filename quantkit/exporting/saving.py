"""A float32 graph as an artifact at its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from quantkit.disk.files import output_target
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import OutputError
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.torch_threads import all_threads
from quantkit.graph.artifact import EXTERNAL_DATA_THRESHOLD, save_checked_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.layers import find_layers
from quantkit.graph.plan import LayerPlan, Plan
from quantkit.graph.tensors import raw_size


def save_artifact(
    model: onnx.ModelProto,
    info: ArtifactInfo,
    destination: Path,
    check: Callable[[Path], ParityReport],
    *,
    external_threshold: int = EXTERNAL_DATA_THRESHOLD,
) -> ParityReport:
    """Write ``model`` with ``info``; it appears at ``destination`` only when ``check`` returns.

    Args:
        external_threshold: bytes of weights beyond which they go to ``<name>.onnx.data``.

    Raises:
        ParityError: the graph differs from its source; nothing is written.
        OutputError: ``destination`` cannot be written.
    """
    set_info(model, info)
    # The checker serialises the model, which protobuf refuses beyond 2 GB; such a model is
    # proved by ONNX Runtime alone, in the parity check. Nor does it know weights left in a file.
    inside = [tensor for tensor in model.graph.initializer if not tensor.external_data]
    weights = sum(raw_size(tensor) for tensor in inside)
    if len(inside) == len(model.graph.initializer) and weights < EXTERNAL_DATA_THRESHOLD:
        onnx.checker.check_model(model, full_check=True)
    with all_threads():
        return save_checked_model(model, destination, check, external_threshold=external_threshold)


@contextmanager
def folder_beside(destination: Path) -> Iterator[Path]:
    """A folder on the disk of ``destination`` for what is in the making; it goes again.

    Raises:
        OutputError: that disk refuses.
    """
    path = output_target(destination)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFolder(beside=path.parent) as folder:
            yield folder
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


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

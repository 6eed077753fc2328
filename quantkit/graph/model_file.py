"""One ``.onnx`` file, opened and checked: the only place where quantkit reads one."""

from __future__ import annotations

import stat
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from quantkit.errors import ModelError
from quantkit.graph.lazy import LazyModel, read_lazily
from quantkit.graph.recognise import kind_of_file
from quantkit.graph.sound_graph import require_sound


def read_model_file(path: Path) -> LazyModel:
    """The graph at ``path`` without its large weights.

    Raises:
        ModelError: it is missing, no ONNX, cut off, or not sound; see
            :func:`~quantkit.graph.sound_graph.require_sound`.
    """
    try:
        # A pipe would be waited for without an end.
        is_other = not stat.S_ISREG(path.stat().st_mode)
        lazy = None if is_other else read_lazily(path)
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror or error}") from error
    except (DecodeError, ValueError) as error:
        raise ModelError(_no_model(path)) from error
    if lazy is None:
        raise ModelError(f"cannot read model {path}: it is no file")
    model = lazy.model
    # Other protobuf messages, and empty files, can parse as a model without content.
    if not model.ir_version or not model.graph.output or not model.opset_import:
        raise ModelError(_no_model(path, ": it holds no graph"))
    require_sound(lazy, path)
    return lazy


def _no_model(path: Path, reason: str = "") -> str:
    kind = kind_of_file(path)
    return f"{path} {kind}" if kind else f"{path} is not an ONNX model, or is cut off{reason}"

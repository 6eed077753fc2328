"""Do the weights of a folder fit its configuration? Only shapes are read."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from quantkit.errors import CheckpointError
from quantkit.json_fields import parse_json
from quantkit.models.quiet import quiet_transformers
from quantkit.models.state_dicts import load_pickle

# A checkpoint that lacks more is no model of this configuration: parts that are stored under
# other names, or made anew, are small.
_MOST_MISSING = 4

Shapes = Mapping[str, tuple[int, ...]]


def require_fitting(
    kind: type[PreTrainedModel], config: Mapping[str, Any], files: Sequence[Path], origin: Path
) -> None:
    """Refuse weights that are not those of a ``kind`` with this configuration.

    Nothing of the size of the model is allocated.

    Args:
        config: content of ``origin``.
        files: the weights; see :func:`~quantkit.models.pretrained_files.weights_files`.

    Raises:
        CheckpointError: a tensor has another shape, which is named, or the configuration asks for
            far more than there is.
    """
    wanted = _wanted(kind, config, origin)
    found = shapes_in(files)
    for name, shape in wanted.items():
        other = found.get(name, shape)
        # A scalar is stored either way.
        if other != shape and (math.prod(other), math.prod(shape)) != (1, 1):
            raise CheckpointError(
                f"{files[0].parent}: tensor {name} has shape {other}, but {origin.name} requires "
                f"{shape}"
            )
    there, needed = (sum(map(math.prod, shapes.values())) for shapes in (found, wanted))
    if needed > _MOST_MISSING * max(there, 1):
        raise CheckpointError(
            f"{origin} describes a model of {needed:,} weights, but there are {there:,}: it is "
            "another model's"
        )


def shapes_in(files: Sequence[Path]) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor by its name.

    Raises:
        CheckpointError: a file is no ``state_dict``, or holds something that is no tensor.
    """
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        found |= _safetensors(file) if file.suffix == ".safetensors" else _state_dict(file)
    return found


def _wanted(kind: type[PreTrainedModel], config: Mapping[str, Any], origin: Path) -> Shapes:
    any_kind: Any = kind
    try:
        with quiet_transformers(), torch.device("meta"):
            model: Any = any_kind(any_kind.config_class.from_dict(dict(config)))
        return {name: tuple(tensor.shape) for name, tensor in model.named_parameters()}
    # Settings that fit neither each other nor their types raise errors of any kind.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"{origin} describes no {kind.__name__}: {reason:.200}") from error


def _safetensors(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            entries = parse_json(stream.read(length), str(path))
        return {
            name: tuple(int(size) for size in entry["shape"])
            for name, entry in entries.items()
            if name != "__metadata__"
        }
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged") from error


def _state_dict(path: Path) -> dict[str, tuple[int, ...]]:
    # On the meta device tensors have no memory.
    content = load_pickle(path, "meta")
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(each, torch.Tensor) for name, each in content.items()
    ):
        raise CheckpointError(f"{path} is no state_dict: save `model.state_dict()`")
    return {name: tuple(tensor.shape) for name, tensor in content.items()}

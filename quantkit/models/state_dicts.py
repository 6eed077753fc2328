"""Tensors of a file, read without running code from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from quantkit.disk.reading import open_regular, require_regular
from quantkit.errors import CheckpointError
from quantkit.models.archives import refuse_inflating


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, or of a ``state_dict`` that torch saved.

    Raises:
        CheckpointError: the file is damaged, would run code, or holds something else.
    """
    if path.suffix != ".safetensors":
        content = load_pickle(path)
        if isinstance(content, dict) and all(
            isinstance(name, str) and isinstance(each, Tensor) for name, each in content.items()
        ):
            return content
        raise CheckpointError(f"{path} is no state_dict: it holds something that is no tensor")
    try:
        require_regular(path)
        return load_file(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or truncated: {error}") from error


def load_pickle(path: Path, device: str = "cpu") -> Any:
    """What torch saved to ``path``; only tensors and plain values are allowed.

    Its weights are mapped from the file where that is an archive, and read when they are needed.

    Args:
        device: ``meta`` reads shapes only.

    Raises:
        CheckpointError: the file is damaged, or would run code.
    """
    try:
        with open_regular(path) as stream:
            is_archive = stream.read(2) == b"PK"
        refuse_inflating(path)
        return torch.load(path, map_location=device, weights_only=True, mmap=is_archive)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except CheckpointError:
        raise
    # Damaged bytes raise errors of any kind in torch's unpickler.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{path} cannot be loaded: {reason}") from error

"""Shared by all training runs: progress, saving and resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from quantkit.disk.files import atomic_path, write_json
from quantkit.errors import CheckpointError
from quantkit.training.recipe import Precision

_STATE_NAME = "last.pt"
_HISTORY_NAME = "history.json"
BEST_NAME = "best"


class Score(Protocol):
    """The result of a validation."""

    @property
    def summary(self) -> str:
        """The score as text, for one line."""


@dataclass(frozen=True)
class Progress:
    """Progress after every step; ``score`` only after a validation."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    audio_seconds_per_second: float
    score: Score | None = None


def holds_earlier_run(folder: Path) -> bool:
    """Whether ``folder`` contains the state of a training run."""
    return (folder / _STATE_NAME).exists() or (folder / BEST_NAME).exists()


def save_state(
    folder: Path, state: Mapping[str, Any], history: Sequence[Mapping[str, object]]
) -> None:
    """Save the state for :func:`restore_state`, and the history as a readable file.

    Raises:
        OutputError: the folder cannot be written.
    """
    with atomic_path(folder / _STATE_NAME) as temporary:
        torch.save({**state, "history": list(history)}, temporary)
    write_json(folder / _HISTORY_NAME, history)


def restore_state(
    folder: Path, device: torch.device, restore: Callable[[dict[str, Any]], None]
) -> bool:
    """Pass the last saved state of the run in ``folder`` to ``restore``, if there is one.

    Raises:
        CheckpointError: the file is damaged, or ``restore`` refuses it.
    """
    path = folder / _STATE_NAME
    if not path.exists():
        return False
    try:
        restore(torch.load(path, map_location=device, weights_only=True))
    # Damaged bytes raise errors of any kind in torch's unpickler, foreign ones while restoring.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(f"cannot resume from {path}: {reason}") from error
    return True


def autocast_type(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype of matrix products, or ``None`` for float32."""
    if precision == "float32":
        return None
    if precision == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    # Without hardware support, bfloat16 on a CPU is emulated and slower than float32.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else None

"""Static activation ranges, found by running calibration clips one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from threadpoolctl import threadpool_limits

from quantkit.calibration.clip_runner import ClipRunner, Feed
from quantkit.errors import UnusableClipError
from quantkit.graph.tensors import raw_size

__all__ = ["Feed", "Tracker", "Watched", "calibrate", "require_finite"]

# Weights of a part of the model that is run at a time.
_STAGE_BYTES = 16_000_000


class Tracker(Protocol):
    """Sees the values of one tensor clip by clip."""

    def update(self, values: npt.NDArray[np.float32]) -> None:
        """Take in the finite values of one clip."""


@dataclass(frozen=True)
class Watched:
    """One tensor that is followed.

    Args:
        layer: what messages name it by.
        trackers: see its values.
    """

    layer: str
    trackers: tuple[Tracker, ...]


def calibrate(
    model: onnx.ModelProto,
    watched: Mapping[str, Watched],
    feeds: Iterable[Feed],
    *,
    advance: Callable[[float], None] | None = None,
) -> None:
    """Run every clip alone and at its true length, and follow the values of some tensors.

    Memory holds the activations of one clip, of a large model those of a part of it, and one small
    tracker per tensor, however many clips there are; see
    :meth:`~quantkit.calibration.clip_runner.ClipRunner.run_in_stages`. ONNX Runtime's own
    calibrators keep them all, and their histograms fail on clips of different lengths.

    Args:
        model: float32; is not changed.
        watched: the tensors to follow by name; their trackers hold the result.
        feeds: clips with their inputs; see :class:`~quantkit.calibration.data.CalibrationData`.
        advance: is told how much of the work on one clip was done since it was told last: they add
            up to the number of clips.

    Raises:
        CorpusError: ``feeds`` is empty.
        UnusableClipError: the model fails on a clip, or a layer's activations are not finite there.
    """
    # NumPy's threads spin while they wait for each other and for the next product. One alone costs
    # less, and what it finds does not depend on how many cores a host has.
    with threadpool_limits(1, user_api="blas"), closing(ClipRunner(model)) as runner:
        for stage in runner.run_in_stages(list(watched), feeds, _stages(model)):
            for name in list(stage.values):
                values, each = stage.values.pop(name), watched[name]
                require_finite(values, each.layer, stage.clip)
                for tracker in each.trackers:
                    tracker.update(values)
            if advance is not None:
                advance(stage.share)


def _stages(model: onnx.ModelProto) -> int:
    """A large model has large activations: it is run a part at a time."""
    weights = sum(raw_size(tensor) for tensor in model.graph.initializer)
    return 1 + weights // _STAGE_BYTES


def require_finite(values: npt.NDArray[Any], layer: str, clip: str) -> None:
    """Refuse values of a layer that nothing can be learned from.

    Raises:
        UnusableClipError: one of them is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise UnusableClipError(
            f"layer {layer}: its activations are NaN or infinite on clip {clip}; exclude the "
            "layer, or check the model",
            clip,
        )

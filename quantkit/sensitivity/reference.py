"""The float model's posteriors, the reference of all divergences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.arrays import Booleans, FloatArray
from quantkit.calibration.clip_store import ClipStore
from quantkit.errors import ModelError, UnusableClipError
from quantkit.runtime.output_scale import scale_of
from quantkit.sensitivity.estimate import Estimate, estimated
from quantkit.sensitivity.posteriors import (
    Weighting,
    counting,
    divergence,
    frame_weights,
    log_posteriors,
)


class Reference:
    """Log-posteriors and frame weights of some clips.

    Args:
        clips: their names.
        outputs: outputs of the float model for each clip, in the same order.
        weighting: see :func:`~quantkit.sensitivity.posteriors.frame_weights`.
        folder, memory: see :class:`~quantkit.calibration.clip_store.ClipStore`.

    Raises:
        UnusableClipError: the posteriors of a clip are not finite, or have no labels.
    """

    def __init__(
        self,
        clips: Sequence[str],
        outputs: Iterable[npt.NDArray[Any]],
        weighting: Weighting,
        folder: Path,
        memory: int,
    ) -> None:
        self._clips = tuple(clips)
        self._store = ClipStore(folder, memory)
        self._counting: list[Booleans] = []
        for clip, values in zip(self._clips, outputs, strict=True):
            try:
                if not len(self._store):
                    # NaN first: it would pass for logits.
                    log_posteriors(values, "log-probabilities", clip)
                    self.scale = scale_of(values)
                rows = log_posteriors(values, self.scale, clip)
                self._counting.append(counting(rows))
                self._store.append({"": rows[self._counting[-1]]})
            except ModelError as error:
                raise UnusableClipError(str(error), clip) from error
        self._weights = frame_weights(self, weighting)
        self.frames = sum(len(each) for each in self._weights)

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, clip: int) -> FloatArray:
        """Log-posteriors of one clip, (frames, labels); only rows that count."""
        return self._store[clip][""]

    def shape_of(self, clip: int) -> tuple[int, int]:
        """Frames, counting or not, and labels of one clip."""
        return len(self._counting[clip]), self[clip].shape[1]

    def frames_of(self, clip: int) -> int:
        """Frames of one clip that count, weighted or not."""
        return len(self._weights[clip])

    def __iter__(self) -> Iterator[FloatArray]:
        return (self[clip] for clip in range(len(self)))

    def divergence(self, clip: int, values: npt.NDArray[Any]) -> float:
        """Weighted sum over the frames of one clip, in nats.

        Raises:
            ModelError: ``values`` are NaN or infinite.
        """
        other = log_posteriors(values, self.scale, self._clips[clip])[self._counting[clip]]
        return divergence(self[clip], other, self._weights[clip])

    def mean(self, sums: Iterable[float], clips: Sequence[int] | None = None) -> float:
        """Nats per frame from what :meth:`divergence` gave for ``clips``, or for all."""
        frames = self.frames if clips is None else sum(len(self._weights[clip]) for clip in clips)
        # The float model differs from itself by rounding only, which may come out negative.
        return max(0.0, float(np.sum(list(sums))) / frames)

    def estimate(self, sums: Iterable[float]) -> Estimate:
        """:meth:`mean` over all clips, and how sure it is."""
        return estimated(list(sums), [len(each) for each in self._weights])

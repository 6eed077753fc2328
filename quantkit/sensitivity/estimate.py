"""What some clips show of the divergence on others of their kind, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Clips below which their scatter says too little for an interval.
FEWEST_CLIPS = 8
_CONFIDENCE = 0.95
_RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A mean over clips.

    Args:
        mean: in nats per frame.
        interval: of the mean over all clips of the same kind, 95 %; None where it is not known.
    """

    mean: float
    interval: tuple[float, float] | None = None


def estimated(sums: Sequence[float], frames: Sequence[int]) -> Estimate:
    """Divergence per frame, with its studentised bootstrap interval over clips.

    Most clips diverge little and a few make up most of the mean. Percentile intervals are too low
    for such numbers: with a few dozen clips, one in six ends below the mean over all clips, where
    one in forty may. Here each resample is judged by its own standard error, so that one
    without a bad clip counts as the narrow view that it is (Efron and Tibshirani, "An Introduction
    to the Bootstrap", 1993, section 12.5).

    Args:
        sums: of each clip, over its frames, in nats.
        frames: of each clip.
    """
    above, below = np.array(sums, np.float64), np.array(frames, np.float64)
    # The float model differs from itself by rounding only, which may come out negative.
    mean = max(0.0, float(above.sum() / below.sum()))
    if len(above) < FEWEST_CLIPS or above.max() <= 0.0:
        return Estimate(mean)
    drawn = np.random.default_rng(0).integers(0, len(above), size=(_RESAMPLES, len(above)))
    means, errors = _ratio(above[drawn], below[drawn])
    kept = errors > 0.0
    if not kept.any():
        return Estimate(mean)
    deviations = (means[kept] - mean) / errors[kept]
    tail = (1.0 - _CONFIDENCE) / 2.0
    least, most = np.quantile(deviations, [tail, 1.0 - tail])
    (error,) = _ratio(above[None], below[None])[1]
    return Estimate(mean, (max(0.0, float(mean - most * error)), float(mean - least * error)))


def _ratio(
    above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Σ above / Σ below of each row, and its standard error (Cochran, 1977, section 6.4)."""
    clips = above.shape[1]
    ratio = above.sum(axis=1) / below.sum(axis=1)
    residual = above - ratio[:, None] * below
    variance = clips / (clips - 1) * np.square(residual).sum(axis=1)
    return ratio, np.sqrt(variance) / below.sum(axis=1)

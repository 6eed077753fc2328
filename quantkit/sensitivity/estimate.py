"""What some clips show of the divergence on others of their kind, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantkit.text.distances import studentized_interval

#: Clips below which their variance is too uncertain for an interval.
FEWEST_CLIPS = 8


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
    """Divergence per frame; most clips diverge little, and a few make up most of it.

    Args:
        sums: of each clip, over its frames, in nats.
        frames: of each clip.
    """
    # The float model differs from itself by rounding only, which may come out negative.
    mean = max(0.0, sum(sums) / sum(frames))
    found = studentized_interval(sums, frames) if len(sums) >= FEWEST_CLIPS and mean > 0.0 else None
    return Estimate(mean, None if found is None else (max(0.0, found[0]), found[1]))

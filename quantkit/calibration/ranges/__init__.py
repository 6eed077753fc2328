"""Activation ranges from a stream of clips, in memory that does not grow with their number."""

from __future__ import annotations

import math

from quantkit.calibration.ranges.base import Range, RangeTracker, StoredGrid
from quantkit.calibration.ranges.entropy import Entropy
from quantkit.calibration.ranges.histogram import Histogram
from quantkit.calibration.ranges.min_max import MinMax
from quantkit.calibration.ranges.moments import Moments
from quantkit.calibration.ranges.percentile import Percentile
from quantkit.errors import InputError

__all__ = [
    "SEARCHES",
    "UNREAD",
    "Entropy",
    "Histogram",
    "MinMax",
    "Moments",
    "Percentile",
    "Range",
    "RangeTracker",
    "StoredGrid",
    "tracker",
]

#: Ranges that are searched for what the layers make of them, from the extremes inwards; see
#: :mod:`quantkit.quantization.range_search`.
SEARCHES = ("cosine", "hessian")
#: Instead of them, for values that no layer reads.
UNREAD = "entropy"


def tracker(label: str, bits: int = 8) -> RangeTracker:
    """A fresh tracker for a range as plans name it.

    Args:
        label: ``min-max``, ``percentile 99.99``, ``entropy``, or one of :data:`SEARCHES`, which
            start from the extremes.
        bits: of the grid.

    Raises:
        InputError: no range is called so, or a percentile of 50 or less.
    """
    if label == "min-max" or label in SEARCHES:
        return MinMax()
    if label == "entropy":
        return Entropy(bits)
    name, _, share = label.partition(" ")
    try:
        percentile = float(share)
    except ValueError:
        percentile = math.nan
    if name != "percentile" or math.isnan(percentile):
        raise InputError(
            f"unknown range {label!r}; write min-max, entropy, {', '.join(SEARCHES)} or, for "
            "example, percentile 99.9"
        )
    if not 50.0 < percentile <= 100.0:
        raise InputError(f"percentile must be above 50 and at most 100, not {percentile:g}")
    return Percentile(percentile)

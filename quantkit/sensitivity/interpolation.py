"""Divergence of candidates that were not run, from those that were."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quantkit.codecs.catalogue import CodecChoice

# Beyond the noisiest measured candidate, posteriors that are lost already lose no faster.
_STEEPEST_BEYOND = 1.0


def interpolate(noise: float, measured: Sequence[tuple[float, float]]) -> float:
    """Divergence at ``noise``, on straight lines between measured points in double logarithms.

    KL divergence is quadratic in a small error (Kullback and Leibler 1951: half the Fisher
    information times its square), and ``noise`` is the power of the error: less noise than the
    least that was measured gives less divergence in proportion.

    Args:
        measured: pairs of noise and divergence; those without noise or divergence are ignored.
    """
    points = sorted((n, d) for n, d in measured if n > 0.0 and d > 0.0)
    if noise <= 0.0 or not points:
        return 0.0
    first, last = points[0], points[-1]
    if noise <= first[0]:
        return first[1] * noise / first[0]
    if noise >= last[0]:
        slope = 1.0
        if len(points) > 1:
            slope = min(max(_slope(points[-2], last), 0.0), _STEEPEST_BEYOND)
        return float(last[1] * (noise / last[0]) ** slope)
    right = next(i for i, (n, _) in enumerate(points) if n > noise)
    low, high = points[right - 1], points[right]
    return float(low[1] * (noise / low[0]) ** _slope(low, high))


def interpolate_noise(codec: CodecChoice, known: Sequence[tuple[CodecChoice, float]]) -> float:
    """Noise of a codec of some bits, from that of narrower and wider ones of the same kind.

    On a straight line between the nearest in the logarithm: each bit halves the step between
    levels, which divides the power of the error by about four (Gersho and Gray, "Vector
    Quantization and Signal Compression", 1992, section 5.5).

    Args:
        known: with one that has fewer bits and one that has more.
    """
    alike = {
        other.bits: noise
        for other, noise in known
        if (other.name, other.options) == (codec.name, codec.options)
    }
    low = max(bits for bits in alike if bits < codec.bits)
    high = min(bits for bits in alike if bits > codec.bits)
    if alike[low] <= 0.0 or alike[high] <= 0.0:
        return max(alike[low], alike[high])
    share = (codec.bits - low) / (high - low)
    return float(alike[low] ** (1 - share) * alike[high] ** share)


def _slope(low: tuple[float, float], high: tuple[float, float]) -> float:
    if high[0] == low[0]:
        return 1.0
    return math.log(high[1] / low[1]) / math.log(high[0] / low[0])

"""Central moments of a stream of values, without cancellation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Values of float32 that differ at all have, in any number that fits in memory, a standard
# deviation above this share of their mean; below it there is only rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class CentralMoments:
    """Count, mean, and sums of powers of the distance from the mean.

    Two of them add up to those of all values together (Pébay, "Formulas for Robust, One-Pass
    Parallel Computation of Covariances and Arbitrary-Order Statistical Moments", SAND2008-6212;
    the second moment is Chan, Golub and LeVeque's, 1979).

    Args:
        count: of values.
        mean: of them.
        second, third, fourth: Σ (x − mean)ᵖ.
    """

    count: int = 0
    mean: float = 0.0
    second: float = 0.0
    third: float = 0.0
    fourth: float = 0.0

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> CentralMoments:
        """Of values of any shape; none at all is allowed."""
        if not values.size:
            return cls()
        mean = float(values.mean(dtype=np.float64))
        distance = np.subtract(values, mean, dtype=np.float64).ravel(order="K")
        squares = np.square(distance)
        return cls(
            values.size,
            mean,
            float(squares.sum()),
            float(squares @ distance),
            float(squares @ squares),
        )

    def __add__(self, other: CentralMoments) -> CentralMoments:
        if not self.count or not other.count:
            return self if self.count else other
        a, b = self.count, other.count
        count = a + b
        gap = other.mean - self.mean
        step = gap / count
        second = self.second + other.second + gap * step * a * b
        third = (
            self.third
            + other.third
            + gap * step**2 * a * b * (a - b)
            + 3 * step * (a * other.second - b * self.second)
        )
        fourth = (
            self.fourth
            + other.fourth
            + gap * step**3 * a * b * (a * a - a * b + b * b)
            + 6 * step**2 * (a * a * other.second + b * b * self.second)
            + 4 * step * (a * other.third - b * self.third)
        )
        return CentralMoments(count, self.mean + b * step, second, third, fourth)

    @property
    def variance(self) -> float:
        """Mean squared distance from the mean; 0 of no values."""
        return self.second / self.count if self.count else 0.0

    @property
    def standard_deviation(self) -> float:
        """Square root of the variance."""
        return float(np.sqrt(self.variance))

    @property
    def skewness(self) -> float:
        """Third moment of the standardised values; 0 where all are equal."""
        if self._is_constant:
            return 0.0
        return self.third / self.count / self.standard_deviation**3

    @property
    def excess_kurtosis(self) -> float:
        """Fourth moment of the standardised values, less the normal one's 3; 0 likewise."""
        if self._is_constant:
            return 0.0
        return self.fourth / self.count / self.variance**2 - 3.0

    @property
    def _is_constant(self) -> bool:
        return self.standard_deviation <= _ROUNDING * abs(self.mean)

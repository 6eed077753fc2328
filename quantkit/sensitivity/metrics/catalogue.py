"""Every metric by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quantkit.errors import InputError
from quantkit.sensitivity.metrics.absolute_maximum import AbsoluteMaximum
from quantkit.sensitivity.metrics.base import Metric
from quantkit.sensitivity.metrics.frobenius_distance import FrobeniusDistance
from quantkit.sensitivity.metrics.hessian_trace import HessianTrace
from quantkit.sensitivity.metrics.kl_divergence import KullbackLeibler
from quantkit.sensitivity.metrics.l1_distance import L1Distance
from quantkit.sensitivity.metrics.l2_distance import L2Distance
from quantkit.sensitivity.metrics.maximum import Maximum
from quantkit.sensitivity.metrics.mean import Mean
from quantkit.sensitivity.metrics.median import Median
from quantkit.sensitivity.metrics.normality import Normality
from quantkit.sensitivity.metrics.spectral_distance import SpectralDistance
from quantkit.sensitivity.metrics.sqnr import SignalToQuantizationNoise
from quantkit.sensitivity.metrics.standard_deviation import StandardDeviation
from quantkit.sensitivity.metrics.variance import Variance

_ALL: tuple[type[Metric], ...] = (
    Median,
    Mean,
    Maximum,
    AbsoluteMaximum,
    StandardDeviation,
    Variance,
    Normality,
    KullbackLeibler,
    L1Distance,
    L2Distance,
    FrobeniusDistance,
    SpectralDistance,
    SignalToQuantizationNoise,
    HessianTrace,
)

#: By the names that tables and command lines use.
METRICS: Mapping[str, type[Metric]] = MappingProxyType({metric.name: metric for metric in _ALL})


def metric(name: str) -> type[Metric]:
    """The metric of that name; an instance of it follows one layer.

    >>> metric("sqnr").more_is_sensitive
    False

    Raises:
        InputError: no metric is called so.
    """
    if name not in METRICS:
        raise InputError(f"unknown metric {name!r}; choose one of {', '.join(METRICS)}")
    return METRICS[name]

"""Every metric by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from quantkit.errors import InputError
from quantkit.sensitivity.metrics.base import Metric
from quantkit.sensitivity.metrics.distances import (
    FrobeniusDistance,
    KullbackLeibler,
    L1Distance,
    L2Distance,
    SignalToQuantizationNoise,
    SpectralDistance,
)
from quantkit.sensitivity.metrics.hessian import HessianTrace
from quantkit.sensitivity.metrics.reductions import (
    AbsoluteMaximum,
    Maximum,
    Mean,
    Median,
    Normality,
    StandardDeviation,
    Variance,
)

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

"""Metrics of how much a layer's precision matters, from its values alone."""

from quantkit.sensitivity.metrics.base import LayerClip, Metric
from quantkit.sensitivity.metrics.catalogue import METRICS, metric

__all__ = ["METRICS", "LayerClip", "Metric", "metric"]

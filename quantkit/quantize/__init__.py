"""Float32 ``.onnx`` → int8 ``.onnx`` that runs fast in the stock ONNX Runtime. Needs no torch."""

from quantkit.graph.plan import LayerPlan
from quantkit.quantize.pipeline import QuantizeResult, quantize_model
from quantkit.quantize.presets import PRESETS, preset
from quantkit.quantize.settings import QuantizeSettings

__all__ = [
    "PRESETS",
    "LayerPlan",
    "QuantizeResult",
    "QuantizeSettings",
    "preset",
    "quantize_model",
]

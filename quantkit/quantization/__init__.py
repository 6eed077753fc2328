"""Float32 ``.onnx`` → int8 ``.onnx`` that runs fast in the stock ONNX Runtime. Needs no torch."""

from quantkit.graph.plan import LayerPlan
from quantkit.quantization.choices.presets import PRESETS, preset
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import QuantizeResult, quantize_model

__all__ = [
    "PRESETS",
    "LayerPlan",
    "QuantizeResult",
    "QuantizeSettings",
    "preset",
    "quantize_model",
]

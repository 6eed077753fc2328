"""Operators of ONNX Runtime's own, as its saved optimised graphs have them, in standard ones.

ONNX Runtime fuses a convolution with its ReLU, a product with its transposition, or a whole
attention into one node, and a graph that was saved behind its optimisers has those nodes. Their
weights would not be found in them. ONNX Runtime fuses the parts again when it loads the result.

What each operator computes is said in
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from quantkit.conversion.contrib.apart import take_apart

__all__ = ["take_apart"]

"""Layers as the kernels of ONNX Runtime compute them: one kernel per file."""

"""Running artifacts with ONNX Runtime on the CPU. Needs no torch."""

"""Reading and rewriting ONNX graphs: metadata, weights, layers. Needs no torch."""

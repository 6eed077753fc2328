"""Moving scale factors between layers, so that the same float model is easier to quantize."""

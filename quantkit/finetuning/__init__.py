"""A quantized model learns from its float one, on the grids that its file will hold."""

"""Whisper in NumPy over ONNX Runtime: encoder, decoder with its memory, search, windows."""

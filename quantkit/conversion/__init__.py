"""Other people's ``.onnx`` becomes a float32 graph of standard operators that all else works on."""

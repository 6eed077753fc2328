"""PyTorch → ONNX: fold, trace, fuse a front end, check. Needs the ``export`` extra."""

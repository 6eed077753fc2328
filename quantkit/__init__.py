"""quantkit: from a PyTorch speech recogniser to the ONNX file that fits a user and a budget."""

__version__ = "0.1.0"

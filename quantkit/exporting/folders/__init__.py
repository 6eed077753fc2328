"""Folders of ``.onnx`` as they are published: one layout per file, told by what lies in them."""

"""What encoder and decoder know each other by; free of the ``onnx`` package."""

from __future__ import annotations

#: Beginning of the names of what crosses from the encoder to the decoder.
CROSSING = "cross."
#: The same of what the decoder is told of its past.
PAST = "past."
#: The metadata entry of an encoder that names the file of its decoder.
DECODER_KEY = "quantkit.decoder"

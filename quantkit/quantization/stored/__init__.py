"""What a quantized file has of each layer: its integers, scales, zero points and biases.

Files of quantkit are read, and those of other programs, as far as their layers are products by a
constant weight: QDQ, ``QLinear…``, ``…Integer``, ``MatMulNBits`` and weights that are rebuilt in
float.
"""

from quantkit.quantization.stored.form import StoredForm
from quantkit.quantization.stored.read import StoredFile, read_stored

__all__ = ["StoredFile", "StoredForm", "read_stored"]

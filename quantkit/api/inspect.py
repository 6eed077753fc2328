"""What lies in a model file, layer by layer."""

from __future__ import annotations

from dataclasses import replace

from quantkit.api.inputs import PathLike, float_model, path_of
from quantkit.quantization.inspection import Inspection, inspect_model


def inspect(model: PathLike, *, runtime: bool = False) -> Inspection:
    """Operator, shape, codec, bits, compute and bytes of each layer of a model.

    >>> import quantkit
    >>> found = quantkit.inspect("int8.onnx")  # doctest: +SKIP
    >>> found.rows()[0]["bytes"]  # doctest: +SKIP
    320700

    Args:
        model: an ``.onnx``, or what :func:`quantkit.export` takes.
        runtime: also load it in ONNX Runtime, to see which kernels really run.

    Raises:
        ModelError: the file is damaged, its metadata is another model's, or ONNX Runtime does not
            load it.
    """
    with float_model(model) as path:
        return replace(inspect_model(path, runtime=runtime), path=path_of(model, "the model"))

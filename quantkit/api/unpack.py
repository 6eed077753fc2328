"""A packed artifact becomes one that loads like plain int8."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.folders import result_place
from quantkit.api.inputs import PathLike, own_folder, path_of
from quantkit.api.outputs import require_writable
from quantkit.errors import InputError
from quantkit.runtime.unpacking import unpack_model


@dataclass(frozen=True)
class UnpackResult:
    """What :func:`unpack` wrote.

    Args:
        path: the new artifact; its weights lie in ``<path>.data``.
        tensors: that were unpacked: weights, scales, biases.
        size_bytes: of the new artifact with all its files.
        source_bytes: of the packed one.
    """

    path: Path
    tensors: int
    size_bytes: int
    source_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For programs: ``quantkit unpack --json``."""
        return {
            "path": str(self.path),
            "tensors": self.tensors,
            "size_bytes": self.size_bytes,
            "source_bytes": self.source_bytes,
        }


def unpack(model: PathLike, output: PathLike, *, begin: Begin = nothing) -> UnpackResult:
    """Unpack the weights of an artifact once, so that it loads as fast and small as plain int8.

    Outputs are the same bit for bit, and so are inputs, names and metadata; the entry
    ``quantkit.unpacked_from`` has the checksum of the packed file. Memory holds one weight at a
    time.

    >>> import quantkit
    >>> quantkit.unpack("user.onnx", "user.unpacked.onnx").size_bytes  # doctest: +SKIP
    95378515

    Args:
        model: an artifact of ``quantize`` or ``personalize``, of one file or several, or a folder
            that they wrote.
        output: the ``.onnx`` to write, of a folder another folder. Weights lie beside the graphs,
            in files with ``.data`` behind their names.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        ModelError: the artifact is damaged, or does not run here.
        InputError: it is not quantkit's, or has nothing packed; or ``output`` would replace it.
        OutputError: ``output`` cannot be written.
    """
    source = path_of(model, "the model")
    place = result_place(source, output)
    if source.is_dir() and place.folder is None:
        raise InputError(f"{source} is a folder, and unpacked it is one: name a folder with -o")
    require_writable(place.files, place.inputs)
    begin(f"unpack the weights of {source}")
    made = unpack_model(own_folder(source) or source, place.path)
    place.finish()
    return UnpackResult(place.shown, made.tensors, made.size_bytes, made.source_bytes)

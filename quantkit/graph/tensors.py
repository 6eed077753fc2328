"""Constant tensors, whether their elements are in memory or still in the file they came from.

Most steps look at one weight at a time. So a model of a gigabyte is held as a graph of a megabyte,
whose large tensors only name the place in a file where their elements lie: as ONNX's external data
does, but with an absolute path, which no file of anybody has. Such a model is for use within one
process; :func:`embed` brings the elements back before it is saved.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from quantkit.arrays import Array
from quantkit.disk.reading import require_utf8
from quantkit.errors import ModelError

# Page-aligned tensors can be mapped into memory instead of being read.
_ALIGNMENT = 4096

# Types whose elements NumPy reads as they lie in a file.
_AS_THEY_LIE = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT8,
        TensorProto.UINT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
    }
)


def tensor_array(tensor: TensorProto) -> Array:
    """The elements of ``tensor``; a new array where they had to be read.

    Raises:
        ModelError: the file is gone, or shorter than it was.
    """
    if tensor.data_location != TensorProto.EXTERNAL:
        return np.asarray(numpy_helper.to_array(tensor))
    if tensor.data_type in _AS_THEY_LIE and sys.byteorder == "little":
        raw = np.frombuffer(_read(tensor), helper.tensor_dtype_to_np_dtype(tensor.data_type))
        return raw.reshape(tensor.dims)
    copied = TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=raw_bytes(tensor))
    return np.asarray(numpy_helper.to_array(copied))


def raw_bytes(tensor: TensorProto) -> bytes:
    """The elements of ``tensor`` as ``raw_data`` has them; nothing where it uses another field.

    Raises:
        ModelError: see :func:`tensor_array`.
    """
    if tensor.data_location != TensorProto.EXTERNAL:
        return bytes(tensor.raw_data)
    return bytes(_read(tensor))


def end_bytes(tensor: TensorProto) -> tuple[bytes, bytes]:
    """The first and the last element, which a transposition leaves in place.

    Raises:
        ModelError: see :func:`tensor_array`.
    """
    width = data_bytes(tensor.data_type, (1,))
    if tensor.data_location != TensorProto.EXTERNAL:
        raw = tensor.raw_data or tensor_array(tensor).tobytes()
        return raw[:width], raw[-width:]
    size = raw_size(tensor)
    return bytes(_read(tensor, 0, width)), bytes(_read(tensor, size - width, width))


def raw_size(tensor: TensorProto) -> int:
    """Bytes of :func:`raw_bytes`."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return len(tensor.raw_data)
    return _place(tensor)[2]


def leave_in_file(tensor: TensorProto, path: Path | str, offset: int, length: int) -> None:
    """Let ``tensor`` have its elements in a file, and forget those in memory.

    Raises:
        InputError: the path is not UTF-8.
    """
    require_utf8(Path(path))
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", path), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def move_out(tensor: TensorProto, raw: bytes, stream: IO[bytes], location: str) -> None:
    """Append ``raw``, the elements of ``tensor``, to the file called ``location``.

    Raises:
        OSError: the disk refuses.
    """
    stream.write(bytes(-stream.tell() % _ALIGNMENT))
    offset = stream.tell()
    stream.write(raw)
    leave_in_file(tensor, location, offset, len(raw))


def set_raw_bytes(tensor: TensorProto, raw: bytes) -> None:
    """Let ``tensor`` have ``raw`` for its elements."""
    for name in ("float_data", "external_data", "data_location"):
        tensor.ClearField(name)
    tensor.raw_data = raw


def embed(tensors: Iterable[TensorProto]) -> None:
    """Read the elements of those tensors that have them in a file.

    Raises:
        ModelError: see :func:`tensor_array`.
    """
    for tensor in tensors:
        if tensor.data_location == TensorProto.EXTERNAL:
            set_raw_bytes(tensor, raw_bytes(tensor))


def data_bytes(element: int, dims: Iterable[int]) -> int:
    """What a tensor of so many elements takes in a file.

    >>> data_bytes(TensorProto.FLOAT, (2, 3)), data_bytes(TensorProto.INT4, (3,))
    (24, 2)

    Args:
        element: a type of ``onnx.TensorProto`` of a fixed width.
    """
    return -(-math.prod(dims) * _element_bits(element) // 8)


def _element_bits(element: int) -> int:
    name = TensorProto.DataType.Name(element)
    # Elements of less than a byte are packed: INT4, UINT2, FLOAT4E2M1.
    narrow = {"INT4": 4, "UINT4": 4, "FLOAT4E2M1": 4, "INT2": 2, "UINT2": 2}
    return narrow.get(name) or 8 * int(helper.tensor_dtype_to_np_dtype(element).itemsize)


def _read(tensor: TensorProto, start: int = 0, size: int | None = None) -> bytearray:
    """Bytes of ``tensor`` from the file they lie in: ``size`` of them, or all."""
    path, offset, length = _place(tensor)
    found = bytearray(length if size is None else size)
    try:
        with path.open("rb") as stream:
            stream.seek(offset + start)
            count = stream.readinto(found)
    except OSError as error:
        raise ModelError(
            f"cannot read weights of {path}: {error.strerror or error}; leave the file in place "
            "while it is worked on"
        ) from error
    if count < len(found):
        raise ModelError(f"{path} became shorter while it was worked on; start anew")
    return found


def _place(tensor: TensorProto) -> tuple[Path, int, int]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    return Path(entries["location"]), int(entries["offset"]), int(entries["length"])

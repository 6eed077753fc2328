"""Do the constants of a model have the elements that their types and shapes promise?"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from quantkit.errors import ModelError
from quantkit.graph.external_place import ExternalPlace
from quantkit.graph.tensors import data_bytes

_TYPES = frozenset(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}
_FIELDS = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
_COMPLEX = (TensorProto.COMPLEX64, TensorProto.COMPLEX128)
# ONNX Runtime makes a dense tensor of a sparse one while it loads it.
_LARGEST_DENSE = 1 << 31


def is_element_type(code: int) -> bool:
    """Whether ``code`` is a type of elements that this release of ``onnx`` knows."""
    return code in _TYPES


def require_sound_tensor(tensor: TensorProto, origin: Path, left: int | None = None) -> None:
    """Nothing of ``tensor`` is read that it does not have.

    Args:
        left: bytes of its ``raw_data``, where those were left in the file.

    Raises:
        ModelError: an unknown type, a negative size, or more or fewer elements than its shape says.
    """
    what = f"{origin} is damaged: tensor {tensor.name}"
    if not is_element_type(tensor.data_type):
        raise ModelError(f"{what} has elements of an unknown type, {tensor.data_type}")
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"{what} has a negative size: {_shape(tensor)}")
    fields = {field: len(getattr(tensor, field)) for field in _FIELDS}
    holding = [field for field, count in fields.items() if count]
    raw = len(tensor.raw_data) if left is None else left
    if tensor.data_location == TensorProto.EXTERNAL:
        if holding or raw:
            raise ModelError(f"{what} has its elements both in the file and beside it")
        if tensor.data_type == TensorProto.STRING:
            raise ModelError(f"{what} has texts beside the file, where only numbers can be")
        ExternalPlace.of(tensor, origin)
        return
    if len(holding) + bool(raw) > 1:
        raise ModelError(f"{what} has its elements twice")
    if raw:
        if tensor.data_type == TensorProto.STRING:
            raise ModelError(f"{what} has texts where only numbers can be")
        needed = data_bytes(tensor.data_type, tensor.dims)
        if raw != needed:
            raise ModelError(
                f"{what} has {raw:,} bytes, and {needed:,} are needed for {_shape(tensor)} of "
                f"{_name(tensor)}"
            )
        return
    field = helper.tensor_dtype_to_field(tensor.data_type)
    needed = _entries(tensor)
    if (found := fields[field]) != needed or (holding and holding != [field]):
        raise ModelError(
            f"{what} has {found if not holding or holding == [field] else 'no'} elements, and "
            f"{needed:,} are needed for {_shape(tensor)} of {_name(tensor)}"
        )


def require_sound_tensors(
    tensors: Iterable[TensorProto], origin: Path, places: Mapping[int, tuple[int, int]] | None
) -> None:
    """The same for each of ``tensors``.

    Args:
        places: offset and length of ``raw_data`` that was left in the file, by position.
    """
    for index, tensor in enumerate(tensors):
        left = places.get(index) if places else None
        require_sound_tensor(tensor, origin, None if left is None else left[1])


def require_sound_sparse_tensor(sparse: onnx.SparseTensorProto, origin: Path) -> None:
    """Its values have places within its shape, which is none that fills the memory.

    Raises:
        ModelError: they have not.
    """
    values, indices = sparse.values, sparse.indices
    require_sound_tensors((values, indices), origin, None)
    what = f"{origin} is damaged: sparse tensor {values.name}"
    if any(size < 0 for size in sparse.dims):
        raise ModelError(f"{what} has a negative size")
    count = math.prod(values.dims)
    shapes = ((count,), (count, len(sparse.dims)))
    if indices.data_type != TensorProto.INT64 or tuple(indices.dims) not in shapes:
        raise ModelError(f"{what} has {count} values, and other places than that")
    if (size := data_bytes(values.data_type, sparse.dims)) > _LARGEST_DENSE:
        raise ModelError(f"{what} would take {size:,} bytes in memory")


def _entries(tensor: TensorProto) -> int:
    """How many entries of its field the elements take."""
    elements: int = math.prod(tensor.dims)
    if tensor.data_type in _COMPLEX:
        return 2 * elements
    if helper.tensor_dtype_to_field(tensor.data_type) == "int32_data":
        # Elements of less than a byte share an entry.
        return min(elements, data_bytes(tensor.data_type, tensor.dims))
    return elements


def _shape(tensor: TensorProto) -> str:
    return " × ".join(str(size) for size in tensor.dims) or "a scalar"


def _name(tensor: TensorProto) -> str:
    return str(TensorProto.DataType.Name(tensor.data_type)).lower()

"""Reading ``.npy`` files that hold Python objects, without running what is in them.

An object array is stored as a pickle, and a pickle names functions to call while it loads. The
corpora of the NumPy layout need only nested arrays, lists, strings and numbers, so the reader below
gives the unpickler minimal replacements for NumPy's constructors and refuses every other name.
NumPy's own ``_reconstruct`` and ``dtype`` are not used either: their ``__setstate__`` trusts flags
from the file, which is enough to make arrays of arbitrary pointers.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.errors import CorpusError

# Numbers, strings and objects; no dates, records or variable-width strings.
_KINDS = "biufSUO"
_DEEPEST = 4


def load_array(path: Path) -> npt.NDArray[Any]:
    """The array in a ``.npy`` file; object arrays may nest arrays, lists, strings and numbers.

    Raises:
        CorpusError: the file cannot be read, is not a ``.npy``, is truncated, or its pickle
            contains anything but plain data.
    """
    try:
        with path.open("rb") as stream:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            else:
                raise CorpusError(f"{path}: .npy version {version} is not supported")
            if dtype.hasobject:
                array = _resolve(_PlainUnpickler(stream).load(), _DEEPEST)
            else:
                stream.seek(0)
                array = np.lib.format.read_array(stream, allow_pickle=False)
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error
    except _ForbiddenNameError as error:
        raise CorpusError(
            f"{path}: its pickle calls {error}, which plain arrays never do; "
            "the file may be malicious and was not loaded"
        ) from error
    except CorpusError:
        raise
    # A damaged pickle can make the unpickler raise nearly anything.
    except Exception as error:
        raise CorpusError(
            f"{path} is no readable .npy file: {error or type(error).__name__}"
        ) from error
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise CorpusError(f"{path}: its content is not the array that its header describes")
    return array


class _ForbiddenNameError(Exception):
    """The pickle names something that is not on the list."""


class _Dtype:
    """Stand-in for ``numpy.dtype``: keeps the kind, item size and byte order only."""

    def __init__(self, name: str, *_: object) -> None:
        self.dtype = np.dtype(str(name))
        if self.dtype.kind not in _KINDS or self.dtype.names or self.dtype.shape:
            raise ValueError(f"arrays of {name} are not supported")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in (">", b">"):
            self.dtype = self.dtype.newbyteorder(">")
        elif state[1] in ("<", b"<"):
            self.dtype = self.dtype.newbyteorder("<")


class _Array:
    """Stand-in for ``numpy.ndarray``: filled by ``__setstate__``, resolved after loading."""

    def __init__(self, *_: object) -> None:
        self.content: npt.NDArray[Any] | list[Any] = []
        self.shape: tuple[int, ...] = (0,)
        self.order = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, dtype, fortran, content = state
        self.order = "F" if fortran else "C"
        if dtype.dtype.hasobject:
            if not isinstance(content, list):
                raise ValueError("an object array must be stored as a list")
            self.content = content
        else:
            self.content = _from_bytes(content, dtype)


def _from_bytes(content: bytes | bytearray | str, dtype: _Dtype) -> npt.NDArray[Any]:
    # Pickles of Python 2 store bytes as text in Latin-1.
    raw = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(raw, dtype.dtype)


def _from_buffer(
    content: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str
) -> _Array:
    array = _Array()
    array.content, array.shape, array.order = _from_bytes(content, dtype), shape, order
    return array


def _scalar(dtype: _Dtype, content: bytes | str) -> Any:
    return _from_bytes(content, dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _ForbiddenNameError(f"the codec {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """``bytes()``, as the oldest protocols write an empty string."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
# NumPy 2 renamed the module; both names occur in files.
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_module}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_module}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_module}.numeric", "_frombuffer"] = _from_buffer


class _PlainUnpickler(pickle.Unpickler):
    """An unpickler that can build plain data and the stand-ins above, and nothing else."""

    def __init__(self, stream: io.BufferedReader) -> None:
        super().__init__(stream, encoding="latin1")

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenNameError(f"{module}.{name}") from None


def _resolve(value: Any, depth: int) -> Any:
    """Replace stand-ins by arrays, down to ``depth`` levels of nesting."""
    if isinstance(value, (str, bytes, int, float, np.generic)) or value is None:
        return value
    if depth == 0:
        raise ValueError("arrays and lists are nested too deeply")
    if isinstance(value, (list, tuple)):
        return [_resolve(item, depth - 1) for item in value]
    if not isinstance(value, _Array):
        raise ValueError(f"unexpected {type(value).__name__.lstrip('_')} in an object array")
    if isinstance(value.content, np.ndarray):
        return value.content.reshape(value.shape, order="F" if value.order == "F" else "C")
    # Check before allocating: the shape may be wrong.
    if math.prod(value.shape) != len(value.content):
        raise ValueError(f"{len(value.content)} objects do not fill shape {value.shape}")
    array = np.empty(len(value.content), dtype=object)
    for index, item in enumerate(value.content):
        array[index] = _resolve(item, depth - 1)
    # NumPy stores objects in C order, whatever the order in memory.
    return array.reshape(value.shape)

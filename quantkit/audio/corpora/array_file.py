"""Reading ``.npy`` files that hold Python objects, without running what is in them.

An object array is stored as a pickle, and a pickle names functions to call while it loads. The
corpora of the NumPy layout need only nested arrays, lists, strings and numbers, so the reader below
gives the unpickler minimal replacements for NumPy's constructors and refuses every other name.
NumPy's own ``_reconstruct`` and ``dtype`` are not used either: their ``__setstate__`` trusts flags
from the file, which is enough to make arrays of arbitrary pointers.

A pickle can also be small and mean something huge: lists that hold the same list many times, or a
place of 4 GB in the unpickler's table. So the unpickler is the one written in Python, whose table
is a dictionary, and what is built may have no more elements than twice the bytes of the file.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from quantkit.disk.reading import open_regular
from quantkit.errors import CorpusError

# Numbers, strings and objects; no dates, records or variable-width strings.
_KINDS = "biufSUO"
_DEEPEST = 4
# "<U" and the letters that a string has at most.
_LONGEST_NAME = 16


def load_array(path: Path) -> npt.NDArray[Any]:
    """The array in a ``.npy`` file; object arrays may nest arrays, lists, strings and numbers.

    Raises:
        CorpusError: the file cannot be read, is not a ``.npy``, is truncated, or its pickle
            contains anything but plain data.
    """
    try:
        with open_regular(path) as stream:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            elif version == (2, 0):
                shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
            else:
                raise CorpusError(f"{path}: .npy version {version} is not supported")
            if dtype.hasobject:
                array = _Resolver(2 * path.stat().st_size).resolve(
                    _PlainUnpickler(_Bounded(stream)).load(), _DEEPEST
                )
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
        if len(name) > _LONGEST_NAME:
            raise ValueError("names of types are short")
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
        self.text: tuple[str, _Dtype] | None = None
        self.shape: tuple[int, ...] = (0,)
        self.order = "C"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, dtype, fortran, content = state
        self.order = "F" if fortran else "C"
        if dtype.dtype.hasobject:
            if not isinstance(content, list):
                raise ValueError("an object array must be stored as a list")
            self.content = content
        elif isinstance(content, str):
            # Many arrays can name the same text: it is not unpacked for each before that is known.
            self.text = content, dtype
        else:
            self.content = _from_bytes(content, dtype)


def _from_bytes(content: bytes | bytearray, dtype: _Dtype) -> npt.NDArray[Any]:
    return np.frombuffer(content, dtype.dtype)


def _from_text(content: str, dtype: _Dtype) -> npt.NDArray[Any]:
    # Pickles of Python 2 store bytes as text in Latin-1.
    return _from_bytes(content.encode("latin1"), dtype)


def _from_buffer(
    content: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str
) -> _Array:
    array = _Array()
    array.content, array.shape, array.order = _from_bytes(content, dtype), shape, order
    return array


def _scalar(dtype: _Dtype, content: bytes | str) -> Any:
    if len(content) != dtype.dtype.itemsize:
        raise ValueError("a number has the bytes of another type")
    if isinstance(content, str):
        return _from_text(content, dtype)[0]
    return _from_bytes(content, dtype)[0]


def _no_bytes() -> bytes:
    """``bytes()``, as the oldest protocols write an empty string."""
    return b""


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Array,
    ("__builtin__", "bytes"): _no_bytes,
}
# NumPy 2 renamed the module; both names occur in files.
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_module}.multiarray", "_reconstruct"] = _Array
    _ALLOWED[f"{_module}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_module}.numeric", "_frombuffer"] = _from_buffer


class _Bounded:
    """A stream that is never asked for more than it has: room for the answer is made beforehand."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        here = stream.tell()
        self._size = stream.seek(0, io.SEEK_END)
        stream.seek(here)

    def read(self, count: int) -> bytes:
        return self._stream.read(min(count, self._size))

    def readline(self) -> bytes:
        return self._stream.readline()

    def readinto(self, buffer: bytearray) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


class _PlainUnpickler(pickle._Unpickler):
    """An unpickler that can build plain data and the stand-ins above, and nothing else."""

    def __init__(self, stream: _Bounded) -> None:
        super().__init__(stream, encoding="latin1")
        self._encoded: dict[str, bytes] = {}

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        try:
            if (module, name) == ("_codecs", "encode"):
                return self._encode
            return _ALLOWED[module, name]
        except KeyError:
            raise _ForbiddenNameError(f"{module}.{name}") from None

    def _encode(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise _ForbiddenNameError(f"the codec {encoding}")
        # Once for each text, however often the pickle asks.
        if text not in self._encoded:
            self._encoded[text] = text.encode("latin1")
        return self._encoded[text]


class _Resolver:
    """Replaces stand-ins by arrays.

    Args:
        budget: how many elements there may be, those in strings of Python 2 included.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget

    def resolve(self, value: Any, depth: int) -> Any:
        """``value`` with arrays in it, down to ``depth`` levels of nesting."""
        self._spend(1)
        if isinstance(value, (str, bytes, int, float, np.generic)) or value is None:
            return value
        if depth == 0:
            raise ValueError("arrays and lists are nested too deeply")
        if isinstance(value, (list, tuple)):
            return [self.resolve(item, depth - 1) for item in value]
        if not isinstance(value, _Array):
            raise ValueError(f"unexpected {type(value).__name__.lstrip('_')} in an object array")
        if value.text is not None:
            self._spend(len(value.text[0]))
            return self._shaped(_from_text(*value.text), value)
        if isinstance(value.content, np.ndarray):
            return self._shaped(value.content, value)
        # Check before allocating: the shape may be wrong.
        if math.prod(value.shape) != len(value.content):
            raise ValueError(f"{len(value.content)} objects do not fill shape {value.shape}")
        self._spend(len(value.content))
        array = np.empty(len(value.content), dtype=object)
        for index, item in enumerate(value.content):
            array[index] = self.resolve(item, depth - 1)
        # NumPy stores objects in C order, whatever the order in memory.
        return array.reshape(value.shape)

    def _shaped(self, content: npt.NDArray[Any], like: _Array) -> npt.NDArray[Any]:
        return content.reshape(like.shape, order="F" if like.order == "F" else "C")

    def _spend(self, elements: int) -> None:
        self._budget -= elements
        if self._budget < 0:
            raise ValueError("it means more than it holds; the file may be malicious")

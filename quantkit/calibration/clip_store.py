"""Values of many clips at one cut of a graph: in memory while they are few, else on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from onnx import helper

from quantkit.arrays import Array
from quantkit.errors import OutputError
from quantkit.graph.partition import ValueType


class ClipStore:
    """Arrays by name for each clip, in the order in which clips are appended.

    Args:
        folder: where a folder for what does not fit is made, once it is needed.
        limit: bytes to keep in memory; clips beyond go to disk as they are.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._parent = folder
        self._limit = limit
        self._folder: Path | None = None
        self._held = 0
        self._clips: list[dict[str, Array | Path]] = []
        self._types: dict[str, ValueType] = {}

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def spilled(self) -> int:
        """How many arrays lie on disk."""
        return sum(isinstance(each, Path) for clip in self._clips for each in clip.values())

    @property
    def types(self) -> Mapping[str, ValueType]:
        """Type of each value; sizes that are not the same in all clips are None."""
        return self._types

    def append(self, values: Mapping[str, Array]) -> None:
        """Take in the values of the next clip.

        Raises:
            OutputError: they are too large for memory, and the disk refuses them.
        """
        clip: dict[str, Array | Path] = {}
        for name, array in values.items():
            self._note_type(name, array)
            # Strings have no plain form on disk, and are few.
            if self._held + array.nbytes <= self._limit or array.dtype.hasobject:
                self._held += array.nbytes
                # A result of ONNX Runtime keeps the whole arena of its session alive.
                clip[name] = array.copy()
            else:
                clip[name] = self._write(array, len(clip))
        self._clips.append(clip)

    def __getitem__(self, index: int) -> dict[str, Array]:
        """The values of one clip; those on disk are read anew each time."""
        return {
            name: np.load(each) if isinstance(each, Path) else each
            for name, each in self._clips[index].items()
        }

    def forget(self, index: int) -> None:
        """Free what the values of one clip take."""
        for each in self._clips[index].values():
            if isinstance(each, Path):
                each.unlink()
            else:
                self._held -= each.nbytes
        self._clips[index] = {}

    def close(self) -> None:
        """Forget everything."""
        self._clips.clear()
        self._held = 0
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _note_type(self, name: str, array: Array) -> None:
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        shape: tuple[int | None, ...] | None = array.shape
        if name in self._types:
            before = self._types[name].shape
            shape = None
            if before is not None and len(before) == array.ndim:
                shape = tuple(
                    a if a == b else None for a, b in zip(before, array.shape, strict=True)
                )
        self._types[name] = ValueType(element, shape)

    def _write(self, array: Array, number: int) -> Path:
        try:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(dir=self._parent, prefix="values-"))
            path = self._folder / f"{len(self._clips)}-{number}.npy"
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            raise OutputError(
                f"cannot keep activations in {self._parent}: {error.strerror or error}; make room "
                "there, or let TMPDIR name another folder"
            ) from error
        return path

"""Arrays that lie on disk between two uses."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantkit.errors import OutputError

Array = npt.NDArray[Any]


class SpillFolder:
    """A temporary folder, made when it is first needed; it goes when nobody holds this any more."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._files = 0

    def new_file(self) -> Path:
        """A path that nothing has been written to.

        Raises:
            OutputError: the folder cannot be made.
        """
        if self._path is None:
            try:
                self._path = Path(tempfile.mkdtemp(prefix="quantkit-spill-"))
            except OSError as error:
                raise _refused(error) from error
            weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
        self._files += 1
        return self._path / f"{self._files}.npy"


class SpilledArray:
    """One array on disk.

    Args:
        folder: kept alive by this.
    """

    def __init__(self, folder: SpillFolder) -> None:
        self._folder = folder
        self._path: Path | None = None

    def get(self) -> Array | None:
        """A copy in memory; None before the first :meth:`put`."""
        found: Array | None = None if self._path is None else np.load(self._path)
        return found

    def put(self, values: Array) -> None:
        """Replace it.

        Raises:
            OutputError: no room on disk.
        """
        if self._path is None:
            self._path = self._folder.new_file()
        try:
            np.save(self._path, values, allow_pickle=False)
        except OSError as error:
            raise _refused(error) from error


def _refused(error: OSError) -> OutputError:
    return OutputError(
        f"cannot keep second moments in {tempfile.gettempdir()}: {error.strerror or error}; make "
        "room there, or let TMPDIR name another folder"
    )

"""Arrays of which those that were not used lately lie on disk."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import OutputError


class Spill:
    """Arrays that share some memory; the others lie in a temporary folder.

    The folder is made when it is first needed, and goes with the last of the arrays.

    Args:
        memory: bytes to hold; the array that was used last is held, however large.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._held: dict[SpilledArray, int] = {}
        self._folder: TemporaryFolder | None = None
        self._files = 0

    def new_file(self) -> Path:
        """A path that nothing has been written to.

        Raises:
            OutputError: the folder cannot be made.
        """
        if self._folder is None:
            self._folder = TemporaryFolder("spill")
        self._files += 1
        return self._folder.path / f"{self._files}.npy"

    def hold(self, array: SpilledArray, size: int) -> None:
        """Count ``array`` as used now, and make room for it.

        Raises:
            OutputError: no room on disk for others.
        """
        self._held.pop(array, None)
        while self._held and sum(self._held.values()) + size > self._memory:
            oldest = next(iter(self._held))
            oldest.put_down()
            del self._held[oldest]
        self._held[array] = size


class SpilledArray:
    """One array of which only the last value matters.

    Args:
        spill: kept alive by this.
    """

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._path: Path | None = None
        self._values: Array | None = None

    def take(self) -> Array | None:
        """The array, to be changed and then given back with :meth:`put`; None before the first."""
        found = self.read()
        self._values = None
        return found

    def put(self, values: Array) -> None:
        """Replace it; ``values`` belongs to this from now on.

        Raises:
            OutputError: no room on disk.
        """
        self._spill.hold(self, values.nbytes)
        self._values = values

    def read(self) -> Array | None:
        """The array, not to be changed; None before the first :meth:`put`."""
        if self._values is not None or self._path is None:
            return self._values
        found: Array = np.load(self._path)
        return found

    def put_down(self) -> None:
        """Hold it on disk alone.

        Raises:
            OutputError: no room there.
        """
        if self._values is None:
            return
        if self._path is None:
            self._path = self._spill.new_file()
        try:
            np.save(self._path, self._values, allow_pickle=False)
        except OSError as error:
            raise _refused(error) from error
        self._values = None


def _refused(error: OSError) -> OutputError:
    return OutputError(
        f"cannot keep second moments in {tempfile.gettempdir()}: {error.strerror or error}; make "
        "room there, or let TMPDIR name another folder"
    )

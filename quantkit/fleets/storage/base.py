"""What a place for results can do, wherever it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Storage(Protocol):
    """Named files in one place. Names are relative paths with slashes.

    A reader finds a file whole or not at all, as far as the place can promise that; what is in it
    is checked by whoever reads it.

    Attributes:
        place: as a person wrote it.
    """

    place: str

    def read(self, name: str) -> bytes | None:
        """A small file; None where it is not there.

        Raises:
            OutputError: the place does not answer, or refuses; so do the methods below.
        """

    def write(self, name: str, content: bytes) -> None:
        """Replace a small file."""

    def put(self, name: str, source: Path) -> None:
        """Replace a file by one on this machine, which is taken away if that is less work."""

    def digest(self, name: str) -> tuple[int, str] | None:
        """Bytes and SHA-256 of a file; None where it is not there."""

    def scratch(self) -> AbstractContextManager[Path]:
        """A temporary folder on this machine, from which :meth:`put` is little work."""

    def alone(self) -> AbstractContextManager[None]:
        """Keep other runs out of the place while the block lasts, where the place can do that.

        Raises:
            InputError: another run is at work there.
        """

    def turn(self, name: str) -> AbstractContextManager[None]:
        """Wait until no other process of this place is in a block of this ``name``."""

    def work_folder(self, name: str) -> Path | None:
        """A folder for what is worth keeping until the run is over; None where there is none."""

    def forget_work(self, name: str = "") -> None:
        """Remove the work folder of that name, or all of them."""

"""PyTorch's files are zip archives, and somebody else's may unpack to any size."""

from __future__ import annotations

import zipfile
from pathlib import Path

from quantkit.errors import CheckpointError


def refuse_inflating(path: Path) -> None:
    """Refuse an archive that holds more than its own size; PyTorch compresses nothing.

    Raises:
        CheckpointError: it does.
        OSError: it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        # PyTorch says what is wrong with it.
        return
    if unpacked > path.stat().st_size:
        raise CheckpointError(
            f"{path} unpacks to {unpacked:,} bytes, and PyTorch compresses nothing; "
            "the file may be malicious and was not loaded"
        )

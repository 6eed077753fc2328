"""What a command is about to write, looked at before it begins."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from quantkit.errors import InputError
from quantkit.files import output_target, refuse_overwriting


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse results that cannot be written, or that would replace something that is needed.

    Long work whose result has no place would be lost, and so would a model that a slip of the
    fingers names as the place.

    Args:
        outputs: files to write; None for those that were not asked for.
        inputs: files that are read; None likewise.

    Raises:
        InputError: a result would replace an input, or another result.
        OutputError: there is a folder or a device in the place of a result.
    """
    read = [path for path in inputs if path is not None]
    seen: set[Path] = set()
    for path in outputs:
        if path is None:
            continue
        if path.exists():
            refuse_overwriting(path, read)
        target = output_target(path)
        if target in seen:
            raise InputError(f"{path} is named for two results; give each a file of its own")
        seen.add(target)

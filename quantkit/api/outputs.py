"""What a verb is about to write, looked at before it begins."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from quantkit.disk.files import output_target, refuse_overwriting
from quantkit.disk.reading import require_utf8
from quantkit.errors import InputError, OutputError


def check_place(path: Path, *, folder: bool = False) -> None:
    """Refuse a place that cannot be written, without leaving anything there.

    Folders that do not exist yet are made when the result is written, so the nearest one that
    exists is looked at. Permissions alone do not say enough: a file system may be read-only.

    Args:
        path: the file to write; the folder to fill, if ``folder``.

    Raises:
        InputError: a model would have a path that is not UTF-8.
        OutputError: the place is taken by something else, or its folder cannot be written.
    """
    if path.suffix.lower() == ".onnx":
        require_utf8(path)
    try:
        place = path.resolve()
        if folder and place.exists() and not place.is_dir():
            raise OutputError(f"cannot write to {path}: it is a file; choose a folder")
        nearest = place if folder else place.parent
        while not nearest.exists():
            nearest = nearest.parent
        if not nearest.is_dir():
            raise OutputError(f"cannot write to {path}: {nearest} is a file, not a folder")
        with tempfile.TemporaryFile(dir=nearest):
            pass
        if not folder:
            output_target(path)
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        # A link in circles raised RuntimeError before Python 3.13.
        reason = getattr(error, "strerror", None) or error
        raise OutputError(f"cannot write to {path}: {reason}") from error


def require_suffix(path: Path | None, suffix: str) -> None:
    """Refuse a result whose name would say that it is something else.

    Raises:
        InputError: ``path`` does not end in ``suffix``.
    """
    if path is not None and path.suffix.lower() != suffix:
        raise InputError(f"{path} does not end in {suffix}; choose a name that does")


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse results that cannot be written, or that would replace something that is needed.

    Long work whose result has no place would be lost, and so would a model that a slip of the
    fingers names as the place.

    Args:
        outputs: files to write; None for those that were not requested.
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


def require_writable(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """As :func:`check_outputs`, and that every result can be written where it is to be.

    Raises:
        InputError, OutputError: see :func:`check_outputs` and :func:`check_place`.
    """
    places = [path for path in outputs if path is not None]
    check_outputs(places, inputs)
    for path in places:
        check_place(path)

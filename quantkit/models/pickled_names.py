"""What a checkpoint of torch names: entries, and classes that it asks for. Nothing is loaded."""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

# The pickle of a checkpoint names its tensors, whose values lie beside it.
_LARGEST_PICKLE = 16 << 20
_MOST_OPERATIONS = 1_000_000
# What a checkpoint of OpenAI's Whisper has, and nothing else.
_OF_OPENAI = frozenset(("dims", "model_state_dict", "n_audio_ctx", "n_vocab"))


@dataclass(frozen=True)
class PickledNames:
    """What stands in a pickle.

    Args:
        imports: ``module.name`` of what unpickling would import.
        texts: all other text.
    """

    imports: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()


def names_in(path: Path) -> PickledNames:
    """What the checkpoint ``path`` names; nothing for another kind of file."""
    try:
        state = path.stat()
    except OSError:
        return PickledNames()
    return _names_of(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=1)
def _names_of(path: Path, changed: int, size: int) -> PickledNames:
    """The same, once for each state of the file."""
    try:
        found = [*_names(_pickle_of(path))]
    # Damaged pickles and archives raise errors of any kind.
    except Exception:
        return PickledNames()
    imports, texts = (
        frozenset(name for name, is_import in found if is_import == wanted)
        for wanted in (True, False)
    )
    return PickledNames(imports, texts)


def is_openai(path: Path) -> bool:
    """Whether ``path`` is a checkpoint of OpenAI's Whisper, a ``.pt`` with ``dims``."""
    return path.is_file() and names_in(path).texts >= _OF_OPENAI


def _pickle_of(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        if not stream.read(2).startswith((b"PK", b"\x80")):
            return b""
        stream.seek(0)
        if not zipfile.is_zipfile(stream):
            stream.seek(0)
            return stream.read(_LARGEST_PICKLE)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.rpartition("/")[2] == "data.pkl":
                with archive.open(member) as content:
                    return content.read(_LARGEST_PICKLE)
    return b""


def _names(content: bytes) -> Iterator[tuple[str, bool]]:
    """Each name, and whether it is imported."""
    last = ("", "")
    try:
        for operation, value, _ in islice(pickletools.genops(content), _MOST_OPERATIONS):
            if operation.name == "GLOBAL":
                yield str(value).replace(" ", "."), True
            elif operation.name == "STACK_GLOBAL":
                yield ".".join(last), True
            elif isinstance(value, str):
                last = (last[1], value)
                yield value, False
    except ValueError:
        # What was cut off names no more.
        return

"""What a layout of folders says of one."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from quantkit.errors import InputError

if TYPE_CHECKING:
    from quantkit.exporting.parity import ParityReport

_SUFFIX, _ORT_SUFFIX = ".onnx", ".ort"


@dataclass(frozen=True)
class FolderFiles:
    """What the program that a folder is for opens in it.

    Args:
        graphs: its ``.onnx`` files, the encoder first; or ``.ort``, where it has no ``.onnx``.
        others: vocabulary and settings; those that there are.
    """

    graphs: tuple[Path, ...]
    others: tuple[Path, ...]

    @property
    def main(self) -> Path:
        """The file that carries the metadata of all."""
        return self.graphs[0]


class Layout(ABC):
    """A way in which models are published."""

    #: For people, with the program that opens it.
    name: ClassVar[str]

    @abstractmethod
    def matches(self, folder: Path) -> bool:
        """Whether the names of the files in ``folder`` are those of this layout.

        A folder that lacks a file matches, too, so that the error can name it.
        """

    @abstractmethod
    def files(self, folder: Path) -> FolderFiles:
        """What there is.

        Raises:
            InputError: a file is missing.
        """

    @abstractmethod
    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        """Write the model in ``folder`` as an artifact.

        Args:
            name: what the metadata say.

        Raises:
            InputError: a file is missing, or does not fit the others.
            ModelError: a graph is damaged, or has other inputs and outputs than the layout.
            ParityError: the artifact differs from the folder; nothing is written.
            OutputError: ``destination`` cannot be written.
        """


def graphs_called(folder: Path, stems: Sequence[str], what: str) -> tuple[Path, ...]:
    """The files ``<stem>.onnx`` of ``folder``, or with one addition before ``.onnx`` in all.

    Where there are several sets, such as a quantized one beside the original, the one with the
    shortest names is taken.

    Args:
        what: the layout, for messages.

    Raises:
        InputError: there is no whole set; the message names what is missing.
    """
    sets = {stem: suffixes_of(folder, stem) for stem in stems}
    ending = _ending(folder)
    common = set.intersection(*(set(each) for each in sets.values()))
    if common:
        suffix = min(common, key=lambda each: (len(each), each))
        return tuple(folder / f"{stem}{suffix}{ending}" for stem in stems)
    found, missing = (
        next((stem for stem in stems if bool(sets[stem]) is there), "") for there in (True, False)
    )
    if missing:
        raise InputError(
            f"{folder} has {found}{sets[found][0]}{ending} but no {missing}{ending}: {what} is "
            f"{', '.join(f'{stem}{ending}' for stem in stems)}"
        )
    raise InputError(
        f"the files of {folder} do not belong together: {what} is "
        f"{', '.join(f'{stem}{ending}' for stem in stems)}, all with the same addition"
    )


def suffixes_of(folder: Path, stem: str) -> list[str]:
    """What stands between ``stem`` and ``.onnx`` in the names that begin with it.

    An addition begins with a sign: ``encoder-model.int8.onnx``, and not ``encoder-model2.onnx``.
    In a folder without a single ``.onnx``, names that end with ``.ort`` count.
    """
    pattern = re.compile(rf"{re.escape(stem)}((?:[.\-_][^/]*)?){re.escape(_ending(folder))}")
    matches = (pattern.fullmatch(file.name) for file in folder.iterdir())
    return sorted((match[1] for match in matches if match), key=lambda each: (len(each), each))


def _ending(folder: Path) -> str:
    has_onnx = any(file.suffix == _SUFFIX for file in folder.iterdir())
    has_ort = any(file.suffix == _ORT_SUFFIX for file in folder.iterdir())
    return _ORT_SUFFIX if has_ort and not has_onnx else _SUFFIX


def required(folder: Path, names: Sequence[str], what: str) -> Path:
    """The first of the files called ``names`` that is there.

    Args:
        what: they say, for the message.

    Raises:
        InputError: none is.
    """
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"{folder} has no {' or '.join(names)}, which says {what}")


def optional(folder: Path, *names: str) -> tuple[Path, ...]:
    """Those of the files that are there."""
    return tuple(folder / name for name in names if (folder / name).is_file())

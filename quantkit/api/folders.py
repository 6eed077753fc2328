"""Where a quantized model goes: a file, or a folder in the layout of the one that it came from."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from quantkit.api.inputs import PathLike, path_of
from quantkit.api.outputs import require_suffix
from quantkit.disk.files import write_bytes
from quantkit.disk.reading import read_bytes
from quantkit.errors import InputError
from quantkit.exporting.folders.registry import layout_of

_ONNX = ".onnx"
_SUFFIX = re.compile(r"[.\-_][\w.\-]*")


@dataclass(frozen=True)
class ResultPlace:
    """Where a result is written.

    Args:
        path: the ``.onnx``; of a folder that of its first graph, the others have names of their
            own beside it.
        folder: that is written; None where it is a file.
        files: all that is written.
        inputs: that must not be replaced.
        copied: vocabulary and settings, and where they go.
        from_several: whether it is made of several graphs of a published folder.
    """

    path: Path
    folder: Path | None = None
    files: tuple[Path, ...] = ()
    inputs: tuple[Path, ...] = ()
    copied: tuple[tuple[Path, Path], ...] = ()
    from_several: bool = False

    @property
    def shown(self) -> Path:
        """What a person named."""
        return self.folder or self.path

    def kept(self, keep_interface: bool | None) -> bool | None:
        """Whether the result has the inputs and outputs of the original.

        Args:
            keep_interface: what was asked for; see :func:`quantkit.quantize`.

        Raises:
            InputError: a folder that its program could not open was asked for.
        """
        if self.folder is None:
            # Without their own names, the files are an artifact's.
            return False if self.from_several else keep_interface
        if keep_interface is False:
            raise InputError(
                f"{self.folder} is to take the place of a published folder, so it keeps its "
                "interface; name an .onnx with -o for an artifact"
            )
        return True

    def finish(self) -> None:
        """Copy what the program reads besides the graphs.

        Raises:
            OutputError: it cannot be written.
        """
        for source, destination in self.copied:
            write_bytes(destination, read_bytes(source))


def shown_path(model: PathLike, path: Path) -> Path:
    """What a person knows a model by: its folder, if that is a published one; else ``path``."""
    source = path_of(model, "the model")
    return path if layout_of(source) is None else source


def kept_in_plan(model: PathLike, keep_interface: bool | None) -> bool | None:
    """Whether a plan counts the bytes of files with the inputs and outputs of the original.

    Args:
        keep_interface: what was asked for; None: as what is made of ``model`` usually has it.
    """
    of_folder = layout_of(path_of(model, "the model")) is not None
    return True if of_folder and keep_interface is None else keep_interface


def result_place(
    model: PathLike, output: PathLike, suffix: str = "", *, named: bool = True
) -> ResultPlace:
    """Where what is made of ``model`` is written.

    Args:
        output: an ``.onnx``; of a published folder also a folder.
        suffix: what stands in the file names of such a folder before ``.onnx``.
        named: whether the name of a file is complete; the command line adds a suffix.

    Raises:
        InputError: the two do not fit, or the folder lacks a file.
    """
    source, destination = path_of(model, "the model"), path_of(output, "the output")
    layout = layout_of(source)
    if layout is None or (destination.suffix.lower() == _ONNX and not destination.is_dir()):
        if suffix:
            raise InputError("--suffix is for a folder that is made of a published folder")
        if named:
            require_suffix(destination, _ONNX)
        several = layout is not None and len(layout.files(source).graphs) > 1
        return ResultPlace(
            destination, files=(destination,), inputs=(source,), from_several=several
        )
    if suffix and not _SUFFIX.fullmatch(suffix):
        raise InputError(
            f"--suffix begins with a point or a dash, such as .int8, and names no folder: {suffix}"
        )
    found = layout.files(source)
    places = {
        file: destination / file.relative_to(source).with_name(f"{file.stem}{suffix}{_ONNX}")
        for file in found.graphs
    }
    same = os.path.realpath(source) == os.path.realpath(destination)
    if same and not suffix:
        raise InputError(
            f"{destination} is the folder of the model itself: name another one, or give its files "
            "an addition of their own, such as --suffix .int8"
        )
    copied = (
        ()
        if same
        else tuple((file, destination / file.relative_to(source)) for file in found.others)
    )
    files = (*places.values(), *(copy for _, copy in copied))
    return ResultPlace(
        places[found.main], destination, files, (*found.graphs, *found.others), copied
    )

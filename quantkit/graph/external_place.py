"""Where the external data of a tensor lie, as its entries say, read strictly.

Loaders differ in what they make of an odd entry: of two locations some take the first and some the
last. What is checked must be what is read, so whatever is not plain is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from quantkit.disk.files import LFS_POINTER
from quantkit.errors import ModelError
from quantkit.graph.tensors import data_bytes


@dataclass(frozen=True)
class ExternalPlace:
    """Where the elements of one tensor lie.

    Args:
        tensor: its name.
        location: of the file, relative to the folder of the model.
        offset, length: of its elements there, in bytes.
    """

    tensor: str
    location: str
    offset: int
    length: int

    @classmethod
    def of(cls, tensor: onnx.TensorProto, origin: Path) -> ExternalPlace:
        """From the entries of ``tensor``, whose type and shape are sound.

        Raises:
            ModelError: an entry is there twice, missing, no number, or leaves the folder; or the
                length is not that of the elements.
        """
        entries: dict[str, str] = {}
        for entry in tensor.external_data:
            # protobuf hands out what is no UTF-8 as bytes.
            if not (isinstance(entry.key, str) and isinstance(entry.value, str)):
                raise ModelError(
                    f"{origin} is damaged: where tensor {tensor.name} lies is no UTF-8"
                )
            if entry.key in entries:
                raise ModelError(
                    f"{origin} is damaged: tensor {tensor.name} has two entries {entry.key!r} for "
                    "its external data"
                )
            entries[entry.key] = entry.value
        location = _inside(entries.get("location", ""), tensor.name, origin)
        needed = data_bytes(tensor.data_type, tensor.dims)
        offset = _number(entries.get("offset") or "0", tensor.name, origin)
        length = _number(entries.get("length") or str(needed), tensor.name, origin)
        if length != needed:
            raise ModelError(
                f"{origin} is damaged: tensor {tensor.name} has {length} bytes of external data, "
                f"and its type and shape need {needed}"
            )
        return cls(tensor.name, location, offset, length)

    def file(self, origin: Path) -> Path:
        """The file itself, behind all symbolic links, for the model at ``origin``.

        The caches of hubs hold links into a folder of blobs: those to the model and those to its
        weights lead to the same one. So a link may lead out of the folder of the model to the one
        in which the model's own file lies, and nowhere else.

        Raises:
            ModelError: it is missing, or lies elsewhere.
        """
        try:
            file = (origin.parent / self.location).resolve()
            homes = {origin.parent.resolve(), origin.resolve().parent}
            if not any(file.is_relative_to(home) for home in homes):
                raise ModelError(
                    f"{origin}: tensor {self.tensor} lies outside its folder: {self.location}"
                )
            if not file.is_file():
                raise ModelError(
                    f"{origin}: its weights file {self.location} is missing; copy it beside it"
                )
        except (OSError, RuntimeError) as error:
            raise ModelError(f"{origin}: tensor {self.tensor} lies nowhere: {error}") from error
        return file

    def require_length(self, file: Path, origin: Path) -> None:
        """Raise a :class:`ModelError` where ``file`` ends before the elements do."""
        if self.offset + self.length <= file.stat().st_size:
            return
        with file.open("rb") as stream:
            if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                raise ModelError(
                    f"{origin}: its weights file {self.location} is a Git-LFS pointer: run "
                    "`git lfs pull`"
                )
        raise ModelError(
            f"{origin}: its external weights cannot be read: {self.location} ends before "
            f"{self.tensor}"
        )


def _inside(location: str, tensor: str, origin: Path) -> str:
    """``location``, which names a file below the folder of the model."""
    if not location:
        raise ModelError(f"{origin} is damaged: tensor {tensor} has its data nowhere")
    path = PurePosixPath(location)
    absolute = path.is_absolute() or PureWindowsPath(location).is_absolute()
    if absolute or ".." in path.parts or "\0" in location:
        raise ModelError(f"{origin}: tensor {tensor} lies outside its folder: {location}")
    return location


def _number(text: str, tensor: str, origin: Path) -> int:
    # What int() takes beside digits, such as spaces and underscores, others do not take.
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ModelError(
            f"{origin} is damaged: its external weights cannot be read: tensor {tensor} has "
            f"{text!r} for a number"
        )
    return int(text)

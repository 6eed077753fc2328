"""What a file is that was taken for an ONNX model and is none."""

from __future__ import annotations

from pathlib import Path

from quantkit.disk.files import LFS_POINTER

_HEAD_BYTES = 512

#: First bytes, where they stand, and what such a file is.
_KINDS: tuple[tuple[bytes, int, str], ...] = (
    (LFS_POINTER, 0, "is a Git-LFS pointer, not the model: run `git lfs pull`"),
    (
        b"ORTM",
        4,
        "is in ONNX Runtime's own format: `quantkit export` takes it as .ort, with --labels and "
        "--task, or the folder that it is a part of",
    ),
    (b"PK\x03\x04", 0, "is a ZIP archive, or a checkpoint of PyTorch: give an .onnx"),
    (b"\x1f\x8b", 0, "is compressed with gzip: unpack it first"),
    (b"\x80\x02", 0, "is a pickle of Python: give an .onnx"),
    (b"GGUF", 0, "is in the format of llama.cpp: give an .onnx"),
    (b"lmgg", 0, "is in the format of whisper.cpp: give an .onnx"),
    (b"TFL3", 4, "is a model of TensorFlow Lite: give an .onnx"),
)
#: What a text begins with, in small letters.
_TEXTS: tuple[tuple[bytes, str], ...] = (
    (b"<!doctype html", "is a web page, not the model: download the file itself"),
    (b"<html", "is a web page, not the model: download the file itself"),
    (b"<?xml", "is XML, such as the error page of a server: download the file itself"),
    (b"{", "is JSON, not an ONNX model"),
)


def kind_of_file(path: Path) -> str:
    """What the file at ``path`` is, as the end of a sentence; empty where that is not known.

    >>> from quantkit.disk.temporary import TemporaryFolder
    >>> with TemporaryFolder() as folder:
    ...     _ = (folder / "m.onnx").write_bytes(b"<!DOCTYPE html>")
    ...     kind_of_file(folder / "m.onnx")
    'is a web page, not the model: download the file itself'

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    for beginning, position, kind in _KINDS:
        if head[position:].startswith(beginning):
            return kind
    # The head of safetensors is the length of the JSON that follows.
    if head[8:10] == b'{"':
        return "is in the format of safetensors: give an .onnx"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return next((kind for beginning, kind in _TEXTS if text.startswith(beginning)), "")

"""A file that is called a model and is none is called by its own name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantkit.errors import ModelError
from quantkit.graph.artifact import read_info


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git-LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"\xef\xbb\xbf<HTML>", "is a web page"),
        (b"<?xml version='1.0'?><Error/>", "is XML"),
        (b'{"error": "not found"}', "is JSON"),
        (b"PK\x03\x04 a checkpoint", "is a ZIP archive, or a checkpoint of PyTorch"),
        (b"\x80\x02}q\x00.", "is a pickle of Python"),
        (b"\x1f\x8b\x08\x00", "is compressed with gzip"),
        (b"\x08\x00\x00\x00ORTM", "is in ONNX Runtime's own format"),
        (b"\x18\x00\x00\x00TFL3", "is a model of TensorFlow Lite"),
        (b"lmgg\x00\x00", "is in the format of whisper.cpp"),
        (b'\x02\0\0\0\0\0\0\0{"', "is in the format of safetensors"),
        (b"RIFF....WAVEfmt ", "is not an ONNX model, or is cut off"),
    ],
)
def test_it_is_called_what_it_is(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"m\.onnx {kind}"):
        read_info(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="it is no file"):
        read_info(tmp_path / "m.onnx")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it is no file"):
        read_info(tmp_path)

"""Formats that are not exported are refused by their names, and the way is said."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import InputError
from quantkit.exporting.other_formats import other_format
from quantkit.exporting.sources import ExportOptions, export_source

WHISPER = {"config.json": b'{"model_type": "whisper"}'}


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as made:
        for name in names:
            made.writestr(name, b"{}")
    return stream.getvalue()


def tar(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name in names:
            made.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("whisper.gguf", b"GGUF\x03", "a GGUF file"),
        ("ggml-base.bin", b"lmgg\x00", r"ggml file of whisper\.cpp.*openai/whisper-base"),
        ("a.nemo", b"\x1f\x8b\x08", r"NeMo.*asr_model\.export"),
        ("renamed", tar("./model_config.yaml", "./model_weights.ckpt"), "a model of NeMo"),
        ("script.pt", archive("a/constants.pkl", "a/data.pkl", "a/code/b.py"), "TorchScript"),
        ("last.ckpt", b"\x80\x02}.", "PyTorch Lightning"),
        ("model.keras", archive("config.json", "model.weights.h5"), "Keras"),
        ("model.h5", b"\x89HDF\r\n\x1a\n", "Keras"),
        ("model.tflite", b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
        ("model.ort", b"\x08\x00\x00\x00ORTM", "ONNX Runtime's own format"),
        ("flax_model.msgpack", b"\x80", "Flax"),
        ("weights.npy", b"\x93NUMPY", "arrays of NumPy"),
        ("weights.npz", archive("a.npy"), "arrays of NumPy"),
    ],
)
def test_files_are_told_by_what_is_in_them(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    source = written(tmp_path, {name: content}) / name
    with pytest.raises(InputError, match=message):
        export_source(str(source), tmp_path / "a.onnx", ExportOptions())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({**WHISPER, "encoder_model.onnx": b"", "decoder_model.onnx": b""}, "Optimum"),
        ({**WHISPER, "onnx/encoder_model_int8.onnx": b""}, "Optimum"),
        ({"config.json": b'{"model_type": "wav2vec2"}', "model.onnx": b""}, "--labels and --task"),
        ({"a-encoder.onnx": b"", "a-decoder.onnx": b"", "a-joiner.onnx": b""}, "a transducer"),
        ({"config.json": b"{}", "weights.npz": b""}, "a Whisper of MLX"),
        ({"model_config.yaml": b"", "model_weights.ckpt": b""}, "a model of NeMo"),
        ({"hyperparams.yaml": b"", "asr.ckpt": b""}, "a model of SpeechBrain"),
        ({"meta.yaml": b""}, "a model of ESPnet"),
        ({"exp/x": b"", "config.yaml": b"", "valid.acc.ave.pth": b""}, "a model of ESPnet"),
        ({"saved_model.pb": b"", "variables/x": b""}, "a SavedModel of TensorFlow"),
        ({"openvino_model.xml": b"", "openvino_model.bin": b""}, "OpenVINO"),
        ({"am/final.mdl": b""}, "Kaldi"),
        ({"tiny.pt": b""}, "give the file itself"),
        ({"tokenizer_config.json": b"{}"}, "a tokenizer or a processor without a model"),
        ({**WHISPER, "tf_model.h5": b""}, "for TensorFlow only"),
        ({**WHISPER}, "has no weights"),
    ],
)
def test_folders_are_told_by_the_names_in_them(
    tmp_path: Path, files: Mapping[str, bytes], message: str
) -> None:
    pytest.importorskip("torch")
    source = written(tmp_path / "folder", files)
    with pytest.raises(InputError, match=message):
        export_source(str(source), tmp_path / "a.onnx", ExportOptions())


def test_weights_for_pytorch_beside_others_are_what_counts(tmp_path: Path) -> None:
    files = {"model.safetensors": b"", "model.onnx": b"", "saved_model.pb": b""}
    assert other_format(written(tmp_path, files)) == ""


def test_checkpoints_with_objects_are_told_by_the_names_of_these(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    kinds: dict[str, Callable[[], Any]] = {
        "fairseq.models.wav2vec": Namespace,
        "espnet2.asr": Namespace,
        "nemo.collections.asr": Namespace,
        "speechbrain.nnet": Namespace,
        "pytorch_lightning.callbacks": Namespace,
    }
    for module in kinds:
        path = tmp_path / f"{module}.pt"
        torch.save({"cfg": _made_in(module)}, path)
        assert module.split(".")[0][:4].lower() in other_format(path).lower()
    torch.save({"a": torch.zeros(1)}, tmp_path / "plain.pt")
    assert other_format(tmp_path / "plain.pt") == ""


def _made_in(module: str) -> Any:
    """An object whose class says that it is of another package."""
    import sys
    import types

    made = type("Config", (), {"__module__": module})
    for name in (module, *(module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1))):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules[module].Config = made  # type: ignore[attr-defined]
    return made()


def test_names_that_are_no_kind_are_left_to_others(tmp_path: Path) -> None:
    assert other_format(written(tmp_path, {"config.json": json.dumps({}).encode()})) == ""
    assert other_format(tmp_path / "missing") == ""


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """Reading from a pipe would wait for ever."""
    os.mkfifo(tmp_path / "pipe.gguf")
    assert other_format(tmp_path / "pipe.gguf") == ""
    pytest.importorskip("torch")
    with pytest.raises(InputError, match="is not a checkpoint"):
        export_source(str(tmp_path / "pipe.gguf"), tmp_path / "a.onnx", ExportOptions())

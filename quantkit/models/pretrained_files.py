"""Find the files of a ``transformers`` model, and check that they are complete."""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from quantkit.disk.files import LFS_POINTER, sha256_of
from quantkit.disk.reading import open_regular, read_bytes
from quantkit.errors import CheckpointError, FormatError
from quantkit.json_fields import parse_json
from quantkit.models.archives import refuse_inflating

CONFIG_NAME = "config.json"
PREPROCESSOR_NAME = "preprocessor_config.json"
#: Weights of CTranslate2.
CTRANSLATE2_NAME = "model.bin"
#: Of adapters that PEFT saved.
ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

# In the order of preference: safetensors cannot run code, and need no copy.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
)

_SHARD = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")

# Of other libraries; where PyTorch's lie beside them, those are read.
_OTHER_WEIGHTS = {"tf_model.h5": "TensorFlow", "flax_model.msgpack": "Flax"}

# PyTorch's files are archives, whose directory comes last.
_ZIP = b"PK\x03\x04"

_ANEW = "it was not downloaded completely: fetch it again"


def read_json_object(path: Path) -> dict[str, Any]:
    """The content of one of a model's JSON files.

    Raises:
        CheckpointError: it cannot be read, or is not a JSON object.
    """
    try:
        text = read_bytes(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        content = parse_json(text, str(path), finite=False)
    except FormatError as error:
        if text.startswith(LFS_POINTER):
            raise CheckpointError(f"{path} is a Git-LFS pointer: run `git lfs pull`") from error
        raise CheckpointError(f"{path} is not JSON, or is truncated; fetch it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; fetch it again")
    return content


def optional_json_object(path: Path) -> dict[str, Any]:
    """The same; empty if there is no such file."""
    return read_json_object(path) if path.is_file() else {}


def has_weights(folder: Path) -> bool:
    """Whether there are weights for PyTorch, whole or not."""
    return any((folder / name).exists() for names in _WEIGHTS for name in names)


def is_ctranslate2(folder: Path) -> bool:
    """Whether ``folder`` looks like a model of CTranslate2."""
    return (folder / CTRANSLATE2_NAME).is_file()


def is_adapter(folder: Path) -> bool:
    """Whether ``folder`` has weights that PEFT adds to those of another model."""
    return (folder / ADAPTER_CONFIG_NAME).is_file() and not has_weights(folder)


def files_of(source: Path) -> list[Path]:
    """The files of a model: those in a folder, or the one file."""
    if source.is_dir():
        return [file for file in source.iterdir() if file.is_file()]
    return [source]


def name_of(source: Path) -> str:
    """What a model is called after: its folder, or its file without the suffix."""
    path = source.resolve()
    return path.name if source.is_dir() else path.stem


def folder_of_weights(path: Path) -> Path:
    """The folder of a model of whose files one is named; else ``path`` itself."""
    known = (CTRANSLATE2_NAME, *ADAPTER_WEIGHTS, *(name for names in _WEIGHTS for name in names))
    if path.is_file() and (path.name in (*known, CONFIG_NAME) or _SHARD.fullmatch(path.name)):
        folder = path.parent
        config = optional_json_object(folder / CONFIG_NAME)
        if is_adapter(folder) or (config and "schema" not in config):
            return folder
    return path


def feature_extractor(folder: Path) -> tuple[dict[str, Any], Path]:
    """Settings of the front end, empty where there are none, and the file that has them.

    Raises:
        CheckpointError: they are damaged.
    """
    path = folder / PREPROCESSOR_NAME
    if path.is_file():
        return read_json_object(path), path
    # Where transformers 5 stores the parts of a processor.
    path = folder / "processor_config.json"
    settings = optional_json_object(path).get("feature_extractor", {})
    if not isinstance(settings, dict):
        raise CheckpointError(f"{path}: feature_extractor is not a JSON object; fetch it again")
    return settings, path


def weights_files(folder: Path) -> list[Path]:
    """The weights files, checked for completeness as far as their format allows.

    Raises:
        CheckpointError: there are none, or one is missing, truncated, or only a Git-LFS pointer.
    """
    for single, index in _WEIGHTS:
        if (folder / index).is_file():
            files = _shards(folder / index)
        elif (folder / single).is_file():
            files = [folder / single]
        else:
            continue
        for file in files:
            _require_whole(file)
        return files
    for name, library in _OTHER_WEIGHTS.items():
        if (folder / name).is_file():
            raise CheckpointError(
                f"{folder} has its weights for {library} only, {name}: load them with "
                "transformers 4 and save them for PyTorch with save_pretrained"
            )
    raise CheckpointError(
        f"{folder} has no weights: neither {' nor '.join(name for name, _ in _WEIGHTS)} is there"
    )


def digest_of(files: Sequence[Path]) -> str:
    """SHA-256 of the weights; of several files, the SHA-256 of their SHA-256s in hexadecimal."""
    digests = [sha256_of(file) for file in files]
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def licence_of(folder: Path) -> str:
    """The ``license`` of the model's card; empty if there is none."""
    card = folder / "README.md"
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    header = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    line = header and re.search(r"^license:[ \t]*['\"]?([\w. -]+)", header[1], re.MULTILINE)
    return line[1].strip() if line else ""


def _shards(index: Path) -> list[Path]:
    places = read_json_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index} has no weight_map; fetch it again")
    names = sorted({str(name) for name in places.values()})
    for name in names:
        if Path(name).name != name:
            raise CheckpointError(f"{index} names a file outside its folder: {name}")
        if not (index.parent / name).is_file():
            raise CheckpointError(
                f"{index.parent} lacks {name}, one of {len(names)} files of weights; fetch it again"
            )
    return [index.parent / name for name in names]


def _require_whole(path: Path) -> None:
    try:
        with open_regular(path) as stream:
            start = stream.read(1024)
            size = path.stat().st_size
            if start.startswith(LFS_POINTER):
                raise CheckpointError(
                    f"{path} is a Git-LFS pointer, not the weights: run `git lfs pull`"
                )
            if start.startswith(_ZIP) and not zipfile.is_zipfile(path):
                raise CheckpointError(f"{path} is truncated; {_ANEW}")
            if start.startswith(_ZIP):
                refuse_inflating(path)
            if path.suffix == ".safetensors":
                stream.seek(8)
                header = stream.read(_header_size(path, start, size))
                _require_all_tensors(path, header, size)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def _header_size(path: Path, start: bytes, size: int) -> int:
    if len(start) < 8:
        raise CheckpointError(f"{path} is truncated; {_ANEW}")
    (length,) = struct.unpack("<Q", start[:8])
    if not 0 < length < size:
        raise CheckpointError(f"{path} is not a safetensors file, or is truncated; {_ANEW}")
    return int(length)


def _require_all_tensors(path: Path, header: bytes, size: int) -> None:
    # https://github.com/huggingface/safetensors#format: eight bytes, a header, the elements.
    try:
        entries = parse_json(header, str(path))
        ends = [e["data_offsets"][1] for name, e in entries.items() if name != "__metadata__"]
        wanted = 8 + len(header) + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or is damaged; {_ANEW}"
        ) from error
    if size < wanted:
        raise CheckpointError(f"{path} is truncated at {size} of {wanted} bytes; {_ANEW}")

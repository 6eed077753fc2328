"""Formats of models that are not exported: how each is recognised, and what to do instead.

Nothing of a model is loaded or run. A further format is one more row of :data:`FORMATS`.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quantkit.models.pickled_names import names_in
from quantkit.models.pretrained_files import CONFIG_NAME, has_weights

_HEADER_BYTES = 512
_OF_PROCESSORS = ("tokenizer_config.json", "preprocessor_config.json", "processor_config.json")
# Members of an archive that are looked at.
_MOST_MEMBERS = 1_000

_OPTIMUM = (
    "an ONNX export of several graphs, as Optimum and transformers.js make them: export the "
    "model in PyTorch that it was made from, which its card names"
)
_NEMO = (
    "a model of NeMo: with NeMo, asr_model.export('model.onnx') makes an .onnx of a CTC model; "
    "then `quantkit export model.onnx --labels vocab.txt --task ctc`"
)
_ESPNET = (
    "a model of ESPnet: espnet_onnx makes .onnx files of it; for one that ends in CTC, then "
    "`quantkit export FILE.onnx --labels tokens.txt --task ctc`"
)
_SPEECHBRAIN = (
    "a model of SpeechBrain: it makes an .onnx of its encoder with torch.onnx.export; then "
    "`quantkit export FILE.onnx --labels LABELS --task ctc`"
)
_FAIRSEQ = (
    "a checkpoint of fairseq: transformers converts it to a folder with "
    "models/wav2vec2/convert_wav2vec2_original_pytorch_checkpoint_to_pytorch.py"
)
_ONNX_FILE = "give --labels and --task with the .onnx file itself"


@dataclass(frozen=True)
class OtherFormat:
    """A format that is recognised, and not exported.

    Args:
        name: what it is, and the way to something that is exported.
        matches: whether a file or folder, which exists, is of it.
    """

    name: str
    matches: Callable[[Path], bool]


def other_format(path: Path) -> str:
    """What ``path`` is and what to do with it; empty for what is not recognised.

    A folder with weights for PyTorch is none of them, whatever else is in it.
    """
    if path.is_dir() and has_weights(path):
        return ""
    return next((each.name for each in FORMATS if each.matches(path)), "")


def _has(*names: str) -> Callable[[Path], bool]:
    """A folder with all of these, each of which may be a pattern."""
    return lambda path: path.is_dir() and all(any(path.glob(name)) for name in names)


def _starts(*starts: bytes, at: int = 0) -> Callable[[Path], bool]:
    return lambda path: _header(path)[at:].startswith(starts)


def _any(*rules: Callable[[Path], bool]) -> Callable[[Path], bool]:
    return lambda path: any(rule(path) for rule in rules)


def _all(*rules: Callable[[Path], bool]) -> Callable[[Path], bool]:
    return lambda path: all(rule(path) for rule in rules)


def _called(*endings: str) -> Callable[[Path], bool]:
    return lambda path: path.is_file() and path.name.lower().endswith(endings)


def _contains(*names: str) -> Callable[[Path], bool]:
    """An archive with a member of one of these names, in whatever folder."""
    return lambda path: any(member.rpartition("/")[2] in names for member in _members(path))


def _pickles(*modules: str) -> Callable[[Path], bool]:
    """A checkpoint of torch that holds objects of one of these modules."""
    return lambda path: any(name.split(".")[0] in modules for name in names_in(path).imports)


def _header(path: Path) -> bytes:
    # A pipe would not end.
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as stream:
            return stream.read(_HEADER_BYTES)
    except OSError:
        return b""


def _members(path: Path) -> Iterator[str]:
    """The first names in a zip or tar archive; nothing is unpacked."""
    header = _header(path)
    try:
        if header.startswith(b"PK"):
            with zipfile.ZipFile(path) as archive:
                yield from archive.namelist()[:_MOST_MEMBERS]
        elif header[257:262] == b"ustar":
            with tarfile.open(path, "r:") as tar:
                for _, member in zip(range(_MOST_MEMBERS), tar, strict=False):
                    yield member.name
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError):
        return


FORMATS = (
    OtherFormat(
        "a GGUF file, whose weights are already quantized: export the model in PyTorch that it "
        "was made from",
        _starts(b"GGUF"),
    ),
    OtherFormat(
        "a ggml file of whisper.cpp: export the model in PyTorch that it was made from, such as "
        "openai/whisper-base, or OpenAI's .pt",
        _starts(b"lmgg", b"ggml", b"tjgg", b"fmgg"),
    ),
    OtherFormat(_NEMO, _any(_called(".nemo"), _contains("model_config.yaml"))),
    OtherFormat(_NEMO, _has("model_config.yaml", "*.ckpt")),
    OtherFormat(_FAIRSEQ, _pickles("fairseq")),
    OtherFormat(_NEMO, _pickles("nemo")),
    OtherFormat(_ESPNET, _pickles("espnet", "espnet2")),
    OtherFormat(_SPEECHBRAIN, _pickles("speechbrain")),
    OtherFormat(
        "a program of TorchScript, which has no architecture to export from: save the model's "
        "state_dict, or the folder of transformers that it was made from",
        _all(_contains("constants.pkl"), _contains("data.pkl")),
    ),
    OtherFormat(
        "a checkpoint of PyTorch Lightning: save the model inside it, with save_pretrained where "
        "it is one of transformers",
        _any(_called(".ckpt"), _pickles("pytorch_lightning", "lightning")),
    ),
    OtherFormat(
        "a file of Keras: save the model for PyTorch",
        _any(_starts(b"\x89HDF"), _called(".keras"), _contains("model.weights.h5")),
    ),
    OtherFormat("a SavedModel of TensorFlow: save the model for PyTorch", _has("saved_model.pb")),
    OtherFormat(
        "a model of TensorFlow Lite: export the model that it was made from", _starts(b"TFL3", at=4)
    ),
    OtherFormat(
        "a model in ONNX Runtime's own format: call it .ort",
        _starts(b"ORTM", at=4),
    ),
    OtherFormat(
        "a folder of .ort files in a layout that is not known: export the .onnx that they were "
        "made of, or one of them with --labels and --task",
        _all(_has("*.ort"), lambda path: not any(path.glob("*.onnx"))),
    ),
    OtherFormat(
        "weights of Flax: load them with transformers 4 and save them for PyTorch",
        _called(".msgpack"),
    ),
    OtherFormat(
        "arrays of NumPy, which are no checkpoint: give a folder of transformers",
        _any(_starts(b"\x93NUMPY"), _called(".npz", ".npy")),
    ),
    OtherFormat(
        "a Whisper of MLX: export the model in PyTorch that it was made from",
        _has("config.json", "weights.*"),
    ),
    OtherFormat(_OPTIMUM, _any(_has("encoder_model*.onnx"), _has("onnx/encoder_model*.onnx"))),
    OtherFormat(
        "a transducer of several .onnx files in no layout that is known: their names begin with "
        "encoder, decoder and joiner",
        _has("*encoder*.onnx", "*decoder*.onnx", "*joiner*.onnx"),
    ),
    OtherFormat(
        f"a folder around an .onnx: {_ONNX_FILE}", _any(_has("*.onnx"), _has("onnx/*.onnx"))
    ),
    OtherFormat(
        "a model of OpenVINO: export the model that it was made from",
        _has("*.xml", "*.bin"),
    ),
    OtherFormat(
        "a model of Core ML: export the model that it was made from",
        _any(_called(".mlmodel"), _has("Manifest.json", "Data")),
    ),
    OtherFormat(_SPEECHBRAIN, _has("hyperparams.yaml")),
    OtherFormat(_ESPNET, _any(_has("meta.yaml"), _has("config.yaml", "*.pth"))),
    OtherFormat(
        "a model of Kaldi, whose networks are no ONNX",
        _any(_has("am/final.mdl"), _has("final.mdl"), _called(".mdl")),
    ),
    OtherFormat(
        "a folder around one checkpoint: give the file itself",
        _any(_has("*.pt"), _has("*.pth"), _has("*.nemo"), _has("*.gguf"), _has("ggml*.bin")),
    ),
    OtherFormat(
        f"a tokenizer or a processor without a model: it has no {CONFIG_NAME}",
        lambda path: (
            not (path / CONFIG_NAME).exists()
            and any((path / name).is_file() for name in _OF_PROCESSORS)
        ),
    ),
)

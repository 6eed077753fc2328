"""Which texts are names on the Hugging Face hub, and which are paths."""

from __future__ import annotations

import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

# Folders that people keep models in; a slip in what follows must not become a question to the hub.
_FOLDERS = frozenset(
    (
        *("build", "checkpoint", "checkpoints", "data", "dist", "download", "downloads", "export"),
        *("exported", "exports", "model", "models", "onnx", "out", "output", "outputs", "results"),
        *("runs", "tmp", "weights"),
    )
)
_FILES = frozenset(
    (
        *(".bin", ".ckpt", ".gz", ".json", ".nemo", ".npz", ".onnx", ".ort", ".pkl", ".pt", ".pth"),
        *(".safetensors", ".tar", ".toml", ".yaml", ".zip"),
    )
)


def is_hub_name(source: str) -> bool:
    """Whether ``source`` has the form ``owner/name``, and neither is nor looks like a path.

    >>> is_hub_name("facebook/wav2vec2-base-960h")
    True
    >>> is_hub_name("./models/wav2letter-en"), is_hub_name("models/x"), is_hub_name("runs/best.pt")
    (False, False, False)
    """
    if _NAME.fullmatch(source) is None or Path(source).exists():
        return False
    owner = source.split("/")[0]
    looks_like_path = owner.lower() in _FOLDERS or Path(source).suffix.lower() in _FILES
    # Beside a folder of that name, a mistyped path is more likely than a model of such an owner.
    return not looks_like_path and not Path(owner).exists()

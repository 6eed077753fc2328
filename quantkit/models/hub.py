"""Models by their name on the Hugging Face hub, in the cache that ``transformers`` has too."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from quantkit.errors import InputError

# Configuration, vocabulary and card; weights as safetensors, else as a state_dict.
_TEXTS = ("*.json", "*.txt", "README.md")
_SAFETENSORS = "*.safetensors"
# Of transformers, and of CTranslate2.
_STATE_DICTS = ("pytorch_model*.bin", "model.bin")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_name(source: str) -> bool:
    """Whether ``source`` reads ``owner/name`` and is no path that is there.

    >>> is_hub_name("facebook/wav2vec2-base-960h")
    True
    >>> is_hub_name("./models/wav2letter-en")
    False
    """
    return _NAME.fullmatch(source) is not None and not Path(source).exists()


def downloaded(name: str) -> Path:
    """The folder in the cache that holds the model ``name``; it is fetched if it is not there.

    Raises:
        InputError: there is no such model, it may not be read, or the hub cannot be reached.
    """
    try:
        folder = _fetched(name, (_SAFETENSORS,))
        if not any(folder.glob(_SAFETENSORS)):
            folder = _fetched(name, _STATE_DICTS)
    except GatedRepoError as error:
        raise InputError(
            f"{name}: its owner grants access one by one; ask on its page, then `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{name} is neither a folder here nor a model on the hub; check the name, or "
            "`hf auth login` if it is private"
        ) from error
    # What is between us and the hub fails in many ways, most of them some kind of OSError.
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{name} is not a folder here, nor in the cache, and the hub cannot be reached: check "
            "the connection, or give a folder that holds the model"
        ) from error
    return folder


def _fetched(name: str, weights: tuple[str, ...]) -> Path:
    return Path(snapshot_download(name, allow_patterns=[*_TEXTS, *weights]))

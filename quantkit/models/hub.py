"""Models by their name on the Hugging Face hub, in the cache of ``transformers``."""

from __future__ import annotations

import logging
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

_LOG = logging.getLogger(__name__)

# Configuration, vocabulary and card; weights as safetensors, else as a state_dict.
_TEXTS = ("*.json", "*.txt", "README.md")
_SAFETENSORS = "*.safetensors"
# Of transformers, and of CTranslate2.
_STATE_DICTS = ("pytorch_model*.bin", "model.bin")


def downloaded(name: str) -> Path:
    """The folder of the model ``name`` in the cache; it is downloaded if missing.

    Raises:
        InputError: there is no such model, it may not be read, or the hub cannot be reached.
    """
    _LOG.warning("asking the Hugging Face hub for %s", name)
    try:
        folder = _fetched(name, (_SAFETENSORS,))
        if not any(folder.glob(_SAFETENSORS)):
            folder = _fetched(name, _STATE_DICTS)
    except GatedRepoError as error:
        raise InputError(
            f"{name}: its owner must grant access: request it on its page, then `hf auth login`"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"{name} is neither a folder here nor a model on the hub; check the name, or "
            "`hf auth login` if it is private"
        ) from error
    # Network failures have many forms, most of them subclasses of OSError.
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise InputError(
            f"{name} is not a folder here, nor in the cache, and the hub cannot be reached: check "
            "the connection, or give a folder with the model"
        ) from error
    return folder


def _fetched(name: str, weights: tuple[str, ...]) -> Path:
    return Path(snapshot_download(name, allow_patterns=[*_TEXTS, *weights]))

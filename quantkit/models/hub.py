"""Models by their name on the Hugging Face hub, in the cache of ``transformers``."""

from __future__ import annotations

import logging
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import list_repo_files, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from quantkit.errors import InputError
from quantkit.models.adapter_names import ADAPTER_ENDINGS, LANGUAGE, target_language

_LOG = logging.getLogger(__name__)

# Configuration, vocabulary and card; weights as safetensors, else as a state_dict.
_TEXTS = ("*.json", "*.txt", "README.md")
_SAFETENSORS = "*.safetensors"
# Of one language each.
_ADAPTERS = "adapter.*"
# Of transformers, and of CTranslate2.
_STATE_DICTS = ("pytorch_model*.bin", "model.bin")


def downloaded(name: str, language: str = "") -> Path:
    """The folder of the model ``name`` in the cache; it is downloaded if missing.

    Args:
        language: of a model with an adapter for each of several: the only one that is fetched;
            empty: the one that its tokenizer is set to.

    Raises:
        InputError: there is no such model, it may not be read, or the hub cannot be reached; or it
            has adapters, and none for ``language``.
    """
    _LOG.warning("asking the Hugging Face hub for %s", name)
    try:
        folder = _fetched(name, (_SAFETENSORS,))
        if not any(folder.glob(_SAFETENSORS)):
            folder = _fetched(name, _STATE_DICTS)
        _fetch_adapter(name, folder, language)
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
    patterns = [*_TEXTS, *weights]
    return Path(snapshot_download(name, allow_patterns=patterns, ignore_patterns=[_ADAPTERS]))


def _fetch_adapter(name: str, folder: Path, language: str) -> None:
    """MMS has more than a thousand languages, each in a file of megabytes."""
    wanted = language or target_language(folder)
    if not LANGUAGE.fullmatch(wanted):
        return
    snapshot_download(name, allow_patterns=[f"adapter.{wanted}.{end}" for end in ADAPTER_ENDINGS])
    if not language or any((folder / f"adapter.{language}.{e}").is_file() for e in ADAPTER_ENDINGS):
        return
    others = {p.split(".")[1] for p in list_repo_files(name) if fnmatch(p, _ADAPTERS)}
    if others:
        known = ", ".join(sorted(others)[:20]) + (", …" if len(others) > 20 else "")
        raise InputError(f"{name} has no adapter for the language {language!r:.40}, only: {known}")

"""Whisper checkpoints: folders of ``transformers`` and of CTranslate2 (faster-whisper)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import CheckpointError, FormatError
from quantkit.files import sha256_of
from quantkit.models.pretrained import digest_of, load_weights
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    licence_of,
    optional_json_object,
    read_json_object,
    weights_files,
)
from quantkit.models.whisper.ctranslate2 import (
    MODEL_NAME,
    layer_count,
    read_arrays,
    whisper_state,
)
from quantkit.models.whisper.positions import restore_positions
from quantkit.text.whisper_vocabulary import WhisperVocabulary

_TOKENIZER, _VOCABULARY, _WORDS = "tokenizer.json", "vocab.json", "added_tokens.json"
_GENERATION = "generation_config.json"


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper in evaluation mode and float32, with what is needed to use it.

    Args:
        model: a ``transformers.WhisperForConditionalGeneration``.
        sha256: of the weights.
        licence: what the model's card says.
    """

    model: Any
    vocabulary: WhisperVocabulary
    frontend: WhisperFrontend
    sha256: str
    licence: str


def is_ctranslate2(folder: Path) -> bool:
    """Whether ``folder`` looks like a model of CTranslate2."""
    return (folder / MODEL_NAME).is_file()


def load_ctranslate2(folder: Path) -> WhisperCheckpoint:
    """Load a Whisper in the format of faster-whisper, float16 or float32.

    Raises:
        CheckpointError: a file is missing, cut off, or another model's.
    """
    weights = folder / MODEL_NAME
    arrays = read_arrays(weights)
    state = whisper_state(arrays)
    width = state["model.encoder.layer_norm.weight"].shape[0]
    tokens, longest = (
        state[f"model.decoder.embed_{part}.weight"].shape[0] for part in ("tokens", "positions")
    )
    bands = state["model.encoder.conv1.weight"].shape[1]
    settings = WhisperConfig(
        vocab_size=tokens,
        num_mel_bins=bands,
        d_model=width,
        encoder_layers=layer_count(arrays, "encoder"),
        decoder_layers=layer_count(arrays, "decoder"),
        encoder_attention_heads=int(arrays["encoder/num_heads"]),
        decoder_attention_heads=int(arrays["decoder/num_heads"]),
        encoder_ffn_dim=state["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=state["model.decoder.layers.0.fc1.weight"].shape[0],
        max_source_positions=state["model.encoder.embed_positions.weight"].shape[0],
        max_target_positions=longest,
    )
    content = read_json_object(folder / CONFIG_NAME)
    vocabulary = _vocabulary(
        folder, content.get("suppress_ids", ()), content.get("suppress_ids_begin", ())
    )
    _require_fit(vocabulary, tokens, folder)
    return WhisperCheckpoint(
        _with_state(settings, state, weights),
        vocabulary,
        WhisperFrontend(mel_bands=bands),
        sha256_of(weights),
        licence_of(folder),
    )


def load_transformers(folder: Path) -> WhisperCheckpoint:
    """Load the Whisper that ``save_pretrained`` of ``transformers`` wrote to ``folder``.

    Raises:
        CheckpointError: a file is missing, cut off, or another model's.
    """
    files = weights_files(folder)
    settings = read_json_object(folder / CONFIG_NAME)
    generation = optional_json_object(folder / _GENERATION)
    vocabulary = _vocabulary(
        folder,
        generation.get("suppress_tokens") or settings.get("suppress_tokens") or (),
        generation.get("begin_suppress_tokens") or settings.get("begin_suppress_tokens") or (),
    )
    _require_fit(vocabulary, settings.get("vocab_size", 51_865), folder)
    # Typed as any: transformers does not say what its models are made of.
    model: Any = load_weights(folder, WhisperForConditionalGeneration, files)
    restore_positions(model)
    frontend = WhisperFrontend(mel_bands=int(model.config.num_mel_bins))
    digest, licence = digest_of(files), licence_of(folder)
    return WhisperCheckpoint(model, vocabulary, frontend, digest, licence)


def _with_state(
    settings: WhisperConfig, state: dict[str, npt.NDArray[np.float32]], weights: Path
) -> Any:
    with torch.device("meta"):
        model: Any = WhisperForConditionalGeneration(settings)
    # A copy: the file is mapped, and torch wants to write.
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"]
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{weights}: {name} holds values that are not finite")
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()[1:]), str(error)).strip()
        raise CheckpointError(f"{weights} is not a whole Whisper: {reason}") from error
    restore_positions(model)
    return model.requires_grad_(False).eval()


def _vocabulary(folder: Path, suppressed: Any, suppressed_first: Any) -> WhisperVocabulary:
    try:
        return WhisperVocabulary.from_names(_names(folder), suppressed, suppressed_first)
    except FormatError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _names(folder: Path) -> list[str]:
    """Names of all tokens in the order of their ids, from whichever file holds them."""
    lines, listed = folder / "vocabulary.txt", folder / "vocabulary.json"
    if lines.is_file():
        return _text(lines).split("\n")
    if listed.is_file():
        return _list(listed)
    ids: dict[str, int] = {}
    if (folder / _TOKENIZER).is_file():
        content = read_json_object(folder / _TOKENIZER)
        try:
            ids |= content["model"]["vocab"]
            ids |= {each["content"]: each["id"] for each in content["added_tokens"]}
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{folder / _TOKENIZER} is no tokenizer of Whisper") from error
    elif (folder / _VOCABULARY).is_file():
        ids |= read_json_object(folder / _VOCABULARY)
        ids |= optional_json_object(folder / _WORDS)
    else:
        raise CheckpointError(
            f"{folder} has no vocabulary: {_TOKENIZER}, {_VOCABULARY} or vocabulary.txt is missing"
        )
    names = [""] * (1 + max(ids.values(), default=-1))
    for name, index in ids.items():
        names[index] = name
    return names


def _require_fit(vocabulary: WhisperVocabulary, tokens: int, folder: Path) -> None:
    if vocabulary.size != tokens:
        raise CheckpointError(
            f"{folder}: the vocabulary has {vocabulary.size} tokens, but the model writes "
            f"{tokens}: it is another model's"
        )


def _list(path: Path) -> list[str]:
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON, or is cut off; fetch it again") from error
    if not isinstance(content, list):
        raise CheckpointError(f"{path} is no list of tokens; fetch it again")
    return [str(name) for name in content]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error

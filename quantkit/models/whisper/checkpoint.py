"""Whisper checkpoints: of ``transformers``, of CTranslate2 (faster-whisper), and of OpenAI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import WhisperConfig, WhisperForConditionalGeneration

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.disk.files import sha256_of
from quantkit.errors import CheckpointError
from quantkit.models.config_limits import require_sensible
from quantkit.models.lora import merge_adapter
from quantkit.models.pickled_names import is_openai
from quantkit.models.pretrained import load_weights
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    CTRANSLATE2_NAME,
    digest_of,
    is_ctranslate2,
    licence_of,
    optional_json_object,
    read_json_object,
    weights_files,
)
from quantkit.models.whisper.ctranslate2 import (
    head_count,
    layer_count,
    read_arrays,
    whisper_state,
)
from quantkit.models.whisper.generation import (
    GENERATION_NAME,
    Generation,
    alignment_heads,
    read_generation,
    token_list,
)
from quantkit.models.whisper.openai import read_openai
from quantkit.models.whisper.positions import restore_positions
from quantkit.models.whisper.settings_files import require_usual_frontend
from quantkit.models.whisper.vocabulary_files import read_vocabulary
from quantkit.models.whisper.vocabulary_places import vocabulary_folder
from quantkit.text.whisper_vocabulary import DECODER_POSITIONS, WhisperVocabulary

_EMBEDDING, _PROJECTION = "model.decoder.embed_tokens.weight", "proj_out.weight"
# Encoder positions of a window, of two frames each.
_AUDIO_POSITIONS = WhisperFrontend().window_frames // 2


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper in evaluation mode and float32, with its vocabulary and front end.

    Args:
        model: a ``transformers.WhisperForConditionalGeneration``.
        sha256: of the weights.
        licence: from the model's card.
        alignment_heads: layer and head of cross-attention that follow the audio; none if unnamed.
    """

    model: Any
    vocabulary: WhisperVocabulary
    frontend: WhisperFrontend
    sha256: str
    licence: str
    alignment_heads: tuple[tuple[int, int], ...] = ()


def load_whisper(path: Path, adapter: Path | None = None) -> WhisperCheckpoint:
    """Load a Whisper in any of the formats.

    Args:
        adapter: folder of a LoRA adapter that is merged into it.

    Raises:
        CheckpointError: a file is missing, truncated, or belongs to another model.
    """
    load = next(
        (load for is_format, load in _FORMATS if is_format(path)),
        load_transformers,
    )
    loaded = load(path)
    if adapter is None:
        return loaded
    return replace(loaded, sha256=merge_adapter(loaded.model, adapter, loaded.sha256))


def load_ctranslate2(folder: Path) -> WhisperCheckpoint:
    """Load a Whisper in the format of faster-whisper, float16 or float32.

    Raises:
        CheckpointError: a file is missing, truncated, or belongs to another model.
    """
    weights = folder / CTRANSLATE2_NAME
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
        encoder_attention_heads=head_count(arrays, "encoder"),
        decoder_attention_heads=head_count(arrays, "decoder"),
        encoder_ffn_dim=state["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=state["model.decoder.layers.0.fc1.weight"].shape[0],
        max_source_positions=state["model.encoder.embed_positions.weight"].shape[0],
        max_target_positions=longest,
    )
    _require_lengths(settings, folder)
    content = read_json_object(folder / CONFIG_NAME)
    suppressed, first = (
        token_list(content.get(key) or [], folder / CONFIG_NAME)
        for key in ("suppress_ids", "suppress_ids_begin")
    )
    generation = Generation(suppressed, first)
    vocabulary = read_vocabulary(folder, tokens, bands, generation)
    # Copies, because the file is mapped read-only and torch requires writable memory.
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    return WhisperCheckpoint(
        _with_state(settings, tensors, weights),
        vocabulary,
        WhisperFrontend(mel_bands=bands),
        sha256_of(weights),
        licence_of(folder),
        alignment_heads(content),
    )


def load_openai(path: Path) -> WhisperCheckpoint:
    """Load a ``.pt`` of OpenAI's Whisper.

    Raises:
        CheckpointError: it is damaged or no whole Whisper, or there is no vocabulary for it.
    """
    settings, state = read_openai(path)
    _require_lengths(settings, path)
    bands, outputs = settings.num_mel_bins, settings.vocab_size
    folder = vocabulary_folder(path, outputs)
    vocabulary = read_vocabulary(folder, outputs, bands, Generation())
    # Its own file, so the licence of the folder around it is not its licence.
    return WhisperCheckpoint(
        _with_state(settings, state, path),
        vocabulary,
        WhisperFrontend(mel_bands=bands),
        sha256_of(path),
        "",
    )


def load_transformers(folder: Path) -> WhisperCheckpoint:
    """Load the Whisper that ``save_pretrained`` of ``transformers`` wrote to ``folder``.

    Raises:
        CheckpointError: a file is missing, truncated, or belongs to another model.
    """
    files = weights_files(folder)
    settings = read_json_object(folder / CONFIG_NAME)
    require_sensible(settings, folder / CONFIG_NAME)
    require_usual_frontend(folder)
    bands = settings.get("num_mel_bins", WhisperFrontend.mel_bands)
    outputs = settings.get("vocab_size", 51_865)
    vocabulary = read_vocabulary(
        vocabulary_folder(folder, outputs), outputs, bands, read_generation(folder, settings)
    )
    # Typed as Any, because the parts of transformers models are not typed.
    model: Any = load_weights(folder, WhisperForConditionalGeneration, files)
    _require_lengths(model.config, folder)
    restore_positions(model)
    frontend = WhisperFrontend(mel_bands=int(model.config.num_mel_bins))
    digest, licence = digest_of(files), licence_of(folder)
    heads = alignment_heads(optional_json_object(folder / GENERATION_NAME))
    return WhisperCheckpoint(model, vocabulary, frontend, digest, licence, heads)


def _require_lengths(settings: WhisperConfig, folder: Path) -> None:
    audio, text = settings.max_source_positions, settings.max_target_positions
    if audio != _AUDIO_POSITIONS or text < DECODER_POSITIONS:
        raise CheckpointError(
            f"{folder}: a Whisper of {audio} audio and {text} text positions; a window of 30 "
            f"seconds needs {_AUDIO_POSITIONS} and {DECODER_POSITIONS}"
        )


def _with_state(settings: WhisperConfig, state: Mapping[str, Tensor], weights: Path) -> Any:
    try:
        with torch.device("meta"):
            model: Any = WhisperForConditionalGeneration(settings)
    except ValueError as error:
        raise CheckpointError(f"{weights} is not a Whisper: {error}") from error
    wanted = {name: parameter.shape for name, parameter in model.named_parameters()}
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name not in wanted:
            raise CheckpointError(f"{weights} is not a Whisper: it has an unknown tensor {name}")
        if tensor.shape != wanted[name]:
            raise CheckpointError(
                f"{weights}: tensor {name} has shape {tuple(tensor.shape)}, but its settings "
                f"require {tuple(wanted[name])}"
            )
        tensors[name] = tensor.to(torch.float32)
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{weights}: {name} has values that are not finite")
    if missing := sorted(wanted.keys() - tensors.keys() - {_PROJECTION}):
        raise CheckpointError(f"{weights} is not a complete Whisper: it lacks {missing[0]}")
    tensors[_PROJECTION] = tensors[_EMBEDDING]
    model.load_state_dict(tensors, strict=True, assign=True)
    restore_positions(model)
    return model.requires_grad_(False).eval()


_FORMATS = ((is_ctranslate2, load_ctranslate2), (is_openai, load_openai))

"""Whisper checkpoints: folders of ``transformers`` and of CTranslate2 (faster-whisper)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import CheckpointError
from quantkit.files import sha256_of
from quantkit.models.config_limits import require_sensible
from quantkit.models.pretrained import digest_of, load_weights
from quantkit.models.pretrained_files import (
    CONFIG_NAME,
    licence_of,
    read_json_object,
    weights_files,
)
from quantkit.models.whisper.ctranslate2 import (
    MODEL_NAME,
    head_count,
    layer_count,
    read_arrays,
    whisper_state,
)
from quantkit.models.whisper.generation import Generation, read_generation, token_list
from quantkit.models.whisper.positions import restore_positions
from quantkit.models.whisper.vocabulary_files import read_vocabulary
from quantkit.text.whisper_vocabulary import DECODER_POSITIONS, WhisperVocabulary

# Encoder positions of a window, of two frames each.
_AUDIO_POSITIONS = WhisperFrontend().window_frames // 2


@dataclass(frozen=True)
class WhisperCheckpoint:
    """A Whisper in evaluation mode and float32, with its vocabulary and front end.

    Args:
        model: a ``transformers.WhisperForConditionalGeneration``.
        sha256: of the weights.
        licence: from the model's card.
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
        CheckpointError: a file is missing, truncated, or belongs to another model.
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
        CheckpointError: a file is missing, truncated, or belongs to another model.
    """
    files = weights_files(folder)
    settings = read_json_object(folder / CONFIG_NAME)
    require_sensible(settings, folder / CONFIG_NAME)
    bands = settings.get("num_mel_bins", WhisperFrontend.mel_bands)
    vocabulary = read_vocabulary(
        folder, settings.get("vocab_size", 51_865), bands, read_generation(folder, settings)
    )
    # Typed as Any, because the parts of transformers models are not typed.
    model: Any = load_weights(folder, WhisperForConditionalGeneration, files)
    _require_lengths(model.config, folder)
    restore_positions(model)
    frontend = WhisperFrontend(mel_bands=int(model.config.num_mel_bins))
    digest, licence = digest_of(files), licence_of(folder)
    return WhisperCheckpoint(model, vocabulary, frontend, digest, licence)


def _require_lengths(settings: WhisperConfig, folder: Path) -> None:
    audio, text = settings.max_source_positions, settings.max_target_positions
    if audio != _AUDIO_POSITIONS or text < DECODER_POSITIONS:
        raise CheckpointError(
            f"{folder}: a Whisper of {audio} audio and {text} text positions; a window of 30 "
            f"seconds needs {_AUDIO_POSITIONS} and {DECODER_POSITIONS}"
        )


def _with_state(
    settings: WhisperConfig, state: dict[str, npt.NDArray[np.float32]], weights: Path
) -> Any:
    try:
        with torch.device("meta"):
            model: Any = WhisperForConditionalGeneration(settings)
    except ValueError as error:
        raise CheckpointError(f"{weights} is not a Whisper: {error}") from error
    # A copy, because the file is mapped read-only and torch requires writable memory.
    tensors = {name: torch.from_numpy(np.array(values)) for name, values in state.items()}
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"]
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{weights}: {name} has values that are not finite")
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()[1:]), str(error)).strip()
        raise CheckpointError(f"{weights} is not a complete Whisper: {reason}") from error
    restore_positions(model)
    return model.requires_grad_(False).eval()

"""OpenAI's own checkpoints of Whisper: a ``.pt`` with ``dims`` and ``model_state_dict``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import WhisperConfig

from quantkit.errors import CheckpointError
from quantkit.models.config_limits import require_sensible
from quantkit.models.state_dicts import load_pickle

# Their names of modules, and those of transformers; a rule may change what an earlier one gave.
_MODULES = (
    (r"\.blocks\.", ".layers."),
    (r"\.mlp\.0\.", ".fc1."),
    (r"\.mlp\.2\.", ".fc2."),
    (r"\.mlp_ln\.", ".final_layer_norm."),
    (r"\.attn_ln\.", ".self_attn_layer_norm."),
    (r"\.cross_attn_ln\.", ".encoder_attn_layer_norm."),
    (r"\.attn\.", ".self_attn."),
    (r"\.cross_attn\.", ".encoder_attn."),
    (r"_attn\.query\.", "_attn.q_proj."),
    (r"_attn\.key\.", "_attn.k_proj."),
    (r"_attn\.value\.", "_attn.v_proj."),
    (r"_attn\.out\.", "_attn.out_proj."),
    (r"^decoder\.ln\.", "decoder.layer_norm."),
    (r"^encoder\.ln_post\.", "encoder.layer_norm."),
    (r"^decoder\.token_embedding\.", "decoder.embed_tokens."),
    (r"\.positional_embedding$", ".embed_positions.weight"),
)
# Their names of sizes, and those of transformers.
_SIZES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
_FEED_FORWARD = 4


def read_openai(path: Path) -> tuple[WhisperConfig, dict[str, Tensor]]:
    """Settings, and the weights under the names of ``WhisperForConditionalGeneration``.

    The weights are mapped from the file, where it allows that, and have its type.

    Raises:
        CheckpointError: the file is damaged, would run code, or is no Whisper.
    """
    content = load_pickle(path)
    sizes = content.get("dims") if isinstance(content, dict) else None
    state = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(sizes, dict) or not isinstance(state, dict):
        raise CheckpointError(f"{path} has no dims and model_state_dict: it is none of OpenAI's")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise CheckpointError(f"{path}: model_state_dict holds something that is no tensor")
    return _settings(sizes, path), {_renamed(name): tensor for name, tensor in state.items()}


def _settings(sizes: Mapping[str, Any], path: Path) -> WhisperConfig:
    found: dict[str, Any] = {}
    for theirs, ours in _SIZES.items():
        if theirs not in sizes:
            raise CheckpointError(f"{path}: dims lacks {theirs}")
        found[ours] = sizes[theirs]
    require_sensible(found, path)
    if sizes.get("n_text_state", found["d_model"]) != found["d_model"]:
        raise CheckpointError(f"{path}: encoder and decoder have different widths")
    wide = _FEED_FORWARD * found["d_model"]
    return WhisperConfig(encoder_ffn_dim=wide, decoder_ffn_dim=wide, **found)


def _renamed(name: str) -> str:
    for theirs, ours in _MODULES:
        name = re.sub(theirs, ours, name)
    return f"model.{name}"

"""OpenAI's own checkpoints of Whisper: a ``.pt`` with ``dims`` and ``model_state_dict``.

A checkpoint holds no vocabulary. That of its size is looked for beside it, in the package
``openai-whisper``, and among the models of ``transformers`` that were downloaded before; nothing is
downloaded for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from torch import Tensor
from transformers import WhisperConfig

from quantkit.errors import CheckpointError
from quantkit.models.config_limits import require_sensible
from quantkit.models.state_dicts import load_pickle
from quantkit.models.whisper.token_names import TIKTOKEN_NAMES, TOKENIZER_NAME, has_names

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
# Models whose tokenizer may have been downloaded, by outputs.
_REPOSITORIES = {
    51_864: ("tiny.en", "base.en", "small.en", "medium.en"),
    51_865: ("tiny", "base", "small", "medium", "large-v2", "large"),
    51_866: ("large-v3", "large-v3-turbo"),
}


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


def vocabulary_folder(path: Path, outputs: int) -> Path:
    """A folder with the vocabulary of the checkpoint ``path``.

    Raises:
        CheckpointError: there is none on this machine.
    """
    for folder in (path.parent, *_installed(), *_downloaded(outputs)):
        if has_names(folder):
            return folder
    names = _REPOSITORIES.get(outputs, _REPOSITORIES[51_865])
    raise CheckpointError(
        f"{path} has no vocabulary: put {TOKENIZER_NAME} of openai/whisper-{names[0]} beside it, "
        f"or {' or '.join(TIKTOKEN_NAMES)} of openai-whisper"
    )


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


def _installed() -> Iterator[Path]:
    """The files of the package, which is not imported."""
    found = find_spec("whisper")
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield Path(folder) / "assets"


def _downloaded(outputs: int) -> Iterator[Path]:
    for name in _REPOSITORIES.get(outputs, ()):
        found = try_to_load_from_cache(f"openai/whisper-{name}", TOKENIZER_NAME)
        if isinstance(found, str):
            yield Path(found).parent

"""A tiny Whisper with random weights, in both formats of checkpoints."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from quantkit.exporting.sources import ExportOptions, export_source
from tests.once import made_once

#: Tokens of a multilingual Whisper, and of its text.
TOKENS, TEXT_TOKENS = 51_865, 50_257
STEERING = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{code}|>" for code in ("en", "zh", "de", *(f"x{chr(97 + i)}" for i in range(24)))),
]


def token_names() -> list[str]:
    """Names of all but the times; each text token is a letter."""
    letters = [chr(97 + index % 26) for index in range(TEXT_TOKENS)]
    last = [
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ]
    filler = TOKENS - 1_501 - len(letters) - len(STEERING) - len(last)
    return [*letters, *STEERING, *(f"<|{100 + i}|>" for i in range(filler)), *last]


def tiny_whisper(seed: int = 0, **settings: Any) -> Any:
    """Two layers each, 16 channels, two heads."""
    torch.manual_seed(seed)
    sizes = {
        "vocab_size": TOKENS,
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "init_std": 0.3,
    }
    config = WhisperConfig(**{**sizes, **settings})
    return WhisperForConditionalGeneration(config).eval()


def write_transformers(folder: Path, model: Any) -> Path:
    """As ``save_pretrained`` does it, with a tokenizer."""
    model.save_pretrained(folder)
    return write_vocabulary(folder)


def write_vocabulary(folder: Path) -> Path:
    """A tokenizer, and what is never written."""
    names = token_names()
    text, special = names[:TEXT_TOKENS], names[TEXT_TOKENS:]
    content = {
        # Names repeat behind z, and keys may not: what is not there has no name.
        "model": {"vocab": {text[i]: i for i in range(26)}},
        "added_tokens": [{"content": s, "id": TEXT_TOKENS + i} for i, s in enumerate(special)],
    }
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    settings = {"suppress_tokens": [1, 2], "begin_suppress_tokens": [3, TEXT_TOKENS]}
    (folder / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def exported_whisper(factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper as an artifact, ``tiny.onnx`` beside its checkpoint, the folder ``tiny``."""

    def make(folder: Path) -> None:
        source = write_transformers(folder / "tiny", tiny_whisper())
        report = export_source(str(source), folder / "tiny.onnx", ExportOptions())
        assert report.worst.difference < 1e-3

    return made_once(factory, "whisper", make) / "tiny.onnx"


def write_ctranslate2(folder: Path, model: Any) -> Path:
    """As ``ct2-transformers-converter --quantization float32`` does it."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().numpy() for name, tensor in model.state_dict().items()}
    arrays: dict[str, np.ndarray] = {}

    def copy(target: str, source: str, parts: dict[str, str]) -> None:
        for theirs, ours in parts.items():
            arrays[f"{target}/{theirs}"] = state[f"model.{source}.{ours}"]

    linear = {"weight": "weight", "bias": "bias"}
    norm = {"gamma": "weight", "beta": "bias"}
    for part in ("encoder", "decoder"):
        copy(f"{part}/layer_norm", f"{part}.layer_norm", norm)
        arrays[f"{part}/position_encodings/encodings"] = state[
            f"model.{part}.embed_positions.weight"
        ]
        arrays[f"{part}/num_heads"] = np.array(2, np.int16)
        for index in range(2):
            target, source = f"{part}/layer_{index}", f"{part}.layers.{index}"
            for theirs, ours, names in (
                ("self_attention", "self_attn", "qkv"),
                ("attention", "encoder_attn", "kv"),
            ):
                if ours == "encoder_attn" and part == "encoder":
                    continue
                prefix = f"model.{source}.{ours}"
                fused = "linear_0" if names == "qkv" else "linear_1"
                arrays[f"{target}/{theirs}/{fused}/weight"] = np.concatenate(
                    [state[f"{prefix}.{each}_proj.weight"] for each in names]
                )
                none = np.zeros(16, np.float32)
                arrays[f"{target}/{theirs}/{fused}/bias"] = np.concatenate(
                    [state.get(f"{prefix}.{each}_proj.bias", none) for each in names]
                )
                last = "linear_1" if names == "qkv" else "linear_2"
                copy(f"{target}/{theirs}/{last}", f"{source}.{ours}.out_proj", linear)
                copy(f"{target}/{theirs}/layer_norm", f"{source}.{ours}_layer_norm", norm)
                if names == "kv":
                    copy(f"{target}/{theirs}/linear_0", f"{source}.{ours}.q_proj", linear)
            copy(f"{target}/ffn/linear_0", f"{source}.fc1", linear)
            copy(f"{target}/ffn/linear_1", f"{source}.fc2", linear)
            copy(f"{target}/ffn/layer_norm", f"{source}.final_layer_norm", norm)
    for number in (1, 2):
        copy(f"encoder/conv{number}", f"encoder.conv{number}", linear)
    copy("decoder/embeddings", "decoder.embed_tokens", {"weight": "weight"})
    (folder / "model.bin").write_bytes(serialized(arrays))
    names = "".join(f"{name}\n" for name in token_names())
    (folder / "vocabulary.txt").write_text(names, encoding="utf-8")
    config = {"suppress_ids": [1, 2], "suppress_ids_begin": [3, TEXT_TOKENS]}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def openai_checkpoint(model: Any) -> dict[str, Any]:
    """What OpenAI's package saves of a model, whose feed-forward layers are 4 times as wide."""
    names = {
        ".layers.": ".blocks.",
        ".fc1.": ".mlp.0.",
        ".fc2.": ".mlp.2.",
        ".final_layer_norm.": ".mlp_ln.",
        ".self_attn_layer_norm.": ".attn_ln.",
        ".encoder_attn_layer_norm.": ".cross_attn_ln.",
        ".self_attn.": ".attn.",
        ".encoder_attn.": ".cross_attn.",
        ".q_proj.": ".query.",
        ".k_proj.": ".key.",
        ".v_proj.": ".value.",
        ".out_proj.": ".out.",
        "decoder.layer_norm.": "decoder.ln.",
        "encoder.layer_norm.": "encoder.ln_post.",
        ".embed_tokens.": ".token_embedding.",
        ".embed_positions.weight": ".positional_embedding",
    }
    state = {}
    for name, tensor in model.model.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        state[name] = tensor
    config = model.config
    sizes = {
        "n_mels": config.num_mel_bins,
        "n_audio_ctx": config.max_source_positions,
        "n_text_ctx": config.max_target_positions,
        "n_vocab": config.vocab_size,
    }
    for theirs, ours in (("audio", "encoder"), ("text", "decoder")):
        sizes[f"n_{theirs}_state"] = config.d_model
        sizes[f"n_{theirs}_head"] = getattr(config, f"{ours}_attention_heads")
        sizes[f"n_{theirs}_layer"] = getattr(config, f"{ours}_layers")
    return {"dims": sizes, "model_state_dict": state}


def serialized(arrays: dict[str, np.ndarray], kind: str = "WhisperSpec", version: int = 6) -> bytes:
    """The bytes of a ``model.bin``."""
    numbers = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}

    def text(name: str) -> bytes:
        return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"

    content = struct.pack("<I", version) + text(kind) + struct.pack("<II", 3, len(arrays))
    for name, array in arrays.items():
        content += text(name) + struct.pack("<B", array.ndim)
        content += struct.pack(f"<{array.ndim}I", *array.shape)
        content += struct.pack("<BI", numbers[array.dtype.name], array.nbytes) + array.tobytes()
    return content + struct.pack("<I", 0)

"""A Whisper as sherpa-onnx publishes it, from a model of ``transformers``.

Names, axes, caches of a fixed size that are written to in place, the product with the embedding on
its left and the metadata are those of sherpa-onnx's own script; so is the exporter.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.once import made_once
from tests.whisper import STEERING, TEXT_TOKENS, TOKENS, tiny_whisper

CONTEXT = 448


def attended(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Any = None) -> Tensor:
    """Of (clips, tokens, width) each."""

    def by_head(values: Tensor) -> Tensor:
        return values.view(values.shape[0], values.shape[1], heads, -1).permute(0, 2, 1, 3)

    size = query.shape[-1] // heads
    scores = (by_head(query) * size**-0.25) @ (by_head(key) * size**-0.25).transpose(2, 3)
    if mask is not None:
        count = query.shape[1]
        scores = scores + mask[:count, :count]
    return (scores.softmax(-1) @ by_head(value)).permute(0, 2, 1, 3).flatten(2)


class Encoder(nn.Module):
    """A spectrogram of any length up to 30 seconds to keys and values of all layers."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.encoder, self.decoder = model.model.encoder, model.model.decoder
        self.heads = model.config.encoder_attention_heads

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        hidden = functional.gelu(self.encoder.conv1(mel))
        hidden = functional.gelu(self.encoder.conv2(hidden)).permute(0, 2, 1)
        hidden = hidden + self.encoder.embed_positions.weight[: hidden.shape[1]]
        for layer in self.encoder.layers:
            own, inner = layer.self_attn, layer.self_attn_layer_norm(hidden)
            heard = attended(own.q_proj(inner), own.k_proj(inner), own.v_proj(inner), self.heads)
            hidden = hidden + own.out_proj(heard)
            inner = functional.gelu(layer.fc1(layer.final_layer_norm(hidden)))
            hidden = hidden + layer.fc2(inner)
        hidden = self.encoder.layer_norm(hidden)
        crossing = [layer.encoder_attn for layer in self.decoder.layers]
        return (
            torch.stack([each.k_proj(hidden) for each in crossing]),
            torch.stack([each.v_proj(hidden) for each in crossing]),
        )


class Decoder(nn.Module):
    """Tokens, and what is remembered of ``offset`` tokens before, to logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = model.model.decoder
        self.heads = model.config.decoder_attention_heads
        mask = torch.full((CONTEXT, CONTEXT), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(
        self, tokens: Tensor, keys: Tensor, values: Tensor, cross_k: Tensor, cross_v: Tensor,
        offset: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        end = offset[0] + tokens.shape[-1]
        positions = self.decoder.embed_positions.weight[offset[0] : end]
        hidden = self.decoder.embed_tokens(tokens) + positions
        for index, layer in enumerate(self.decoder.layers):
            key, value = keys[index, :, :end, :], values[index, :, :end, :]
            own, inner = layer.self_attn, layer.self_attn_layer_norm(hidden)
            new = own.k_proj(inner), own.v_proj(inner)
            key[:, -new[0].shape[1] :, :] = new[0]
            value[:, -new[1].shape[1] :, :] = new[1]
            read = attended(own.q_proj(inner), key, value, self.heads, self.mask)
            hidden = hidden + own.out_proj(read)
            cross = layer.encoder_attn
            query = cross.q_proj(layer.encoder_attn_layer_norm(hidden))
            heard = attended(query, cross_k[index], cross_v[index], self.heads)
            hidden = hidden + cross.out_proj(heard)
            inner = functional.gelu(layer.fc1(layer.final_layer_norm(hidden)))
            hidden = hidden + layer.fc2(inner)
            keys[index, :, :end, :] = key
            values[index, :, :end, :] = value
        hidden = self.decoder.layer_norm(hidden)
        embedding = self.decoder.embed_tokens.weight
        logits = torch.matmul(embedding, hidden.permute(0, 2, 1)).permute(0, 2, 1)
        return logits, keys, values


def write_graphs(folder: Path, model: Any, name: str, metadata: dict[str, str]) -> None:
    """``<name>-encoder.onnx`` and ``<name>-decoder.onnx``."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = model.config
    mel = torch.zeros(1, sizes.num_mel_bins, 3_000)
    encoder = folder / f"{name}-encoder.onnx"
    growing = {1: "n_audio", 2: "T"}
    crossing = ["n_layer_cross_k", "n_layer_cross_v"]
    _traced(
        Encoder(model), (mel,), encoder, ["mel"], crossing,
        {"mel": {0: "n_audio", 2: "T"}, **dict.fromkeys(crossing, growing)},
    )  # fmt: skip
    written = onnx.load(encoder)
    onnx.helper.set_model_props(written, {**_sizes(model, name), **metadata})
    onnx.save(written, encoder)
    own = torch.zeros(sizes.decoder_layers, 1, CONTEXT, sizes.d_model)
    cross = torch.zeros(sizes.decoder_layers, 1, 1_500, sizes.d_model)
    caches = ["in_n_layer_self_k_cache", "in_n_layer_self_v_cache"]
    _traced(
        Decoder(model),
        (torch.zeros(1, 1, dtype=torch.int64), own, own.clone(), cross, cross.clone(),
         torch.ones(1, dtype=torch.int64)),
        folder / f"{name}-decoder.onnx",
        ["tokens", *caches, *crossing, "offset"],
        ["logits", *(cache.replace("in_", "out_", 1) for cache in caches)],
        {
            "tokens": {0: "n_audio", 1: "n_tokens"},
            **{cache: {1: "n_audio"} for cache in caches},
            **dict.fromkeys(crossing, growing),
        },
    )  # fmt: skip


def _traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
    axes: dict[str, dict[int, str]],
) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), example, path, opset_version=17, dynamo=False,
            input_names=list(inputs), output_names=list(outputs), dynamic_axes=axes,
        )  # fmt: skip


def _sizes(model: Any, name: str) -> dict[str, str]:
    sizes = model.config
    found = {
        "model_type": f"whisper-{name}",
        "version": 1,
        "maintainer": "k2-fsa",
        "n_mels": sizes.num_mel_bins,
        "n_audio_ctx": sizes.max_source_positions,
        "n_audio_state": sizes.d_model,
        "n_audio_head": sizes.encoder_attention_heads,
        "n_audio_layer": sizes.encoder_layers,
        "n_vocab": sizes.vocab_size,
        "n_text_ctx": sizes.max_target_positions,
        "n_text_state": sizes.d_model,
        "n_text_head": sizes.decoder_attention_heads,
        "n_text_layer": sizes.decoder_layers,
    }
    return {key: str(value) for key, value in found.items()}


def listed(values: Sequence[Any]) -> str:
    """As the metadata have lists."""
    return ",".join(map(str, values))


def write_tiny(folder: Path, ending: float = 1.0) -> Path:
    """A multilingual Whisper with random weights and 27 languages; its text tokens are letters.

    Args:
        ending: how likely texts end, which else are as long as they may be.
    """
    names = [name.strip("<|>") for name in STEERING[2:]]
    first = TEXT_TOKENS + 2
    last = TOKENS - 1_501
    model = tiny_whisper(init_std=0.2)
    with torch.no_grad():
        end = model.model.decoder.embed_tokens.weight[TEXT_TOKENS].mul_(3)
        model.model.decoder.layer_norm.bias.copy_(ending * end)
    write_graphs(
        folder,
        model,
        "tiny",
        {
            "sot_sequence": listed([TEXT_TOKENS + 1, first, last - 5]),
            "all_language_tokens": listed(range(first, first + len(names))),
            "all_language_codes": listed(names),
            "sot": str(TEXT_TOKENS + 1),
            "sot_index": "0",
            "eot": str(TEXT_TOKENS),
            "blank_id": "220",
            "is_multilingual": "1",
            "no_speech": str(last - 2),
            "non_speech_tokens": "1,2",
            "transcribe": str(last - 5),
            "translate": str(last - 6),
            "sot_prev": str(last - 3),
            "sot_lm": str(last - 4),
            "no_timestamps": str(last - 1),
        },
    )
    pieces = (base64.b64encode(bytes([97 + i % 26])).decode() for i in range(TEXT_TOKENS))
    lines = (f"{piece} {number}" for number, piece in enumerate(pieces))
    (folder / "tiny-tokens.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def sherpa_whisper(factory: pytest.TempPathFactory) -> Path:
    """Such a folder, made once for all tests."""
    made = made_once(factory, "sherpa-whisper", lambda path: write_tiny(path / "whisper"))
    return made / "whisper"

"""A tiny Moonshine of the second generation with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import MoonshineStreamingConfig, MoonshineStreamingForConditionalGeneration

from tests.moonshine_pretrained import PIECES, tokenizer
from tests.parakeet import randomised

ENCODER: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    # Steps that a layer sees, itself among the first of each pair; the last are as many as half a
    # second has.
    "sliding_windows": ((5, 3), (4, 0), (24, 2)),
}
DECODER: dict[str, Any] = {
    "vocab_size": len(PIECES) + 3,
    "hidden_size": 40,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2_100,
    "decoder_start_token_id": 1,
}


def tiny() -> Any:
    """A model whose every parameter matters, and whose texts depend on what is heard."""
    config = MoonshineStreamingConfig(encoder_config=ENCODER, **DECODER)
    model = randomised(MoonshineStreamingForConditionalGeneration(config), seed=9)
    with torch.no_grad():
        for layer in model.model.decoder.layers:
            layer.encoder_attn.o_proj.weight *= 4.0
            layer.self_attn.o_proj.weight *= 4.0
        model.model.decoder.pos_emb.weight *= 0.3
    return model


def said_by_transformers(model: Any, clip: Any) -> str:
    """The greedy text of a waveform of 16 kHz, behind the padding of its processor."""
    longest = max(1, round(6.5 * len(clip) / 16_000))
    waveform = torch.from_numpy(clip)[None]
    padding = -len(clip) % 80
    mask = torch.nn.functional.pad(torch.ones_like(waveform, dtype=torch.int64), (0, padding))
    with torch.no_grad():
        found = model.generate(
            torch.nn.functional.pad(waveform, (0, padding)),
            attention_mask=mask,
            max_new_tokens=longest,
            do_sample=False,
        )
    text: str = tokenizer().decode(found[0], skip_special_tokens=True)
    return text.strip()

"""A tiny Moonshine of transformers with random weights, as ``save_pretrained`` writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import (
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
)

from tests.parakeet import randomised

#: Special tokens, pieces, single characters.
PIECES = (
    *("<unk>", "<s>", "</s>", "▁the", "▁a", "▁on", "e", "t", "▁", "s", "ing", "▁stop", "▁go"),
    *("n", "o", "a", ".", "<0x41>"),
)

SIZES: dict[str, Any] = {
    "vocab_size": len(PIECES) + 3,
    "hidden_size": 40,
    "intermediate_size": 56,
    "encoder_num_hidden_layers": 2,
    "decoder_num_hidden_layers": 2,
    "encoder_num_attention_heads": 4,
    "decoder_num_attention_heads": 4,
}


def tiny(**settings: Any) -> Any:
    """A model whose every parameter matters, and whose texts depend on what is heard."""
    model = randomised(MoonshineForConditionalGeneration(MoonshineConfig(**{**SIZES, **settings})))
    with torch.no_grad():
        for layer in model.model.decoder.layers:
            layer.encoder_attn.o_proj.weight *= 4.0
            layer.self_attn.o_proj.weight *= 4.0
    return model


def tokenizer() -> Any:
    numbers = {piece: number for number, piece in enumerate(PIECES)}
    made = Tokenizer(models.BPE(numbers, [], unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    )
    made.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def save(folder: Path, model: Any) -> Path:
    """The folder with all that such a model has on the hub."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    extractor: Any = Wav2Vec2FeatureExtractor(do_normalize=False)
    extractor.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    return folder


def said_by_transformers(model: Any, clip: Any, tokens_per_second: float = 6.5) -> str:
    """The greedy text of a waveform of 16 kHz, as ``transformers`` documents it."""
    longest = max(1, round(tokens_per_second * len(clip) / 16_000))
    with torch.no_grad():
        found = model.generate(
            torch.from_numpy(clip)[None], max_new_tokens=longest, do_sample=False
        )
    text: str = tokenizer().decode(found[0], skip_special_tokens=True)
    return text.strip()

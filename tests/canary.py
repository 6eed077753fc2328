"""A tiny Canary of transformers with random weights, as ``save_pretrained`` writes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import (
    CanaryConfig,
    CanaryForConditionalGeneration,
    ParakeetFeatureExtractor,
    PreTrainedTokenizerFast,
)

from tests.parakeet import ENCODER, randomised

SPECIALS = (
    *("<unk>", "<|nospeech|>", "<pad>", "<|endoftext|>", "<|startoftranscript|>", "<|pnc|>"),
    *("<|nopnc|>", "<|startofcontext|>", "<|itn|>", "<|noitn|>", "<|timestamp|>"),
    *("<|notimestamp|>", "<|diarize|>", "<|nodiarize|>", "<|emo:undefined|>"),
    *("<|de|>", "<|en|>", "<|fr|>"),
)
PIECES = ("▁the", "▁a", "▁on", "e", "t", "▁", "s", "ing", "▁stop", "▁go", "n", "o", "a", ".")
TOKENS = (*SPECIALS, *PIECES)
END, START = 3, 7

DECODER: dict[str, Any] = {
    "vocab_size": len(TOKENS),
    "hidden_size": 24,
    "head_dim": 6,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 96,
}


def tiny(**settings: Any) -> Any:
    """A model whose every parameter matters, and whose texts depend on what is heard and asked."""
    config = CanaryConfig(
        encoder_config={**ENCODER, "model_type": "parakeet_encoder", "hidden_size": 24},
        decoder_config={**DECODER, **settings},
        vocab_size=len(TOKENS),
    )
    model = randomised(CanaryForConditionalGeneration(config), seed=2)
    with torch.no_grad():
        for layer in model.model.decoder.layers:
            layer.encoder_attn.o_proj.weight *= 4.0
            layer.self_attn.o_proj.weight *= 4.0
        model.proj_out.weight *= 2.0
    return model


def save(folder: Path, model: Any) -> Path:
    """The folder with all that such a model has on the hub."""
    model.save_pretrained(folder)
    made = Tokenizer(
        models.BPE({piece: number for number, piece in enumerate(TOKENS)}, [], unk_token="<unk>")
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1)]
    )
    made.add_special_tokens([*SPECIALS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", pad_token="<pad>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    extractor: Any = ParakeetFeatureExtractor(feature_size=ENCODER["num_mel_bins"])
    extractor.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# A model\n")
    return folder


def said_by_transformers(model: Any, folder: Path, clip: Any, *asked: str) -> str:
    """The greedy text of a waveform of 16 kHz.

    Args:
        asked: names of the tokens for what is spoken, what is written, and punctuation.
    """
    extractor = ParakeetFeatureExtractor.from_pretrained(folder)
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    heard = extractor(clip, sampling_rate=16_000, return_tensors="pt")
    names = ["<|startofcontext|>", "<|startoftranscript|>", "<|emo:undefined|>", *asked]
    names += ["<|noitn|>", "<|notimestamp|>", "<|nodiarize|>"]
    prompt = torch.tensor([tokenizer.convert_tokens_to_ids(names)])
    longest = min(round(12.5 * (len(clip) // 160 / 100)) + 50, 96 - len(names))
    with torch.no_grad():
        found = model.generate(
            heard["input_features"],
            attention_mask=heard["attention_mask"],
            decoder_input_ids=prompt,
            max_new_tokens=longest,
            do_sample=False,
        )
    text: str = tokenizer.decode(found[0, len(names) :], skip_special_tokens=True)
    return text.strip()

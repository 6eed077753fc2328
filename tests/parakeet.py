"""Tiny models of Parakeet with random weights, as folders that ``save_pretrained`` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import ParakeetFeatureExtractor, ParakeetProcessor, ParakeetTokenizer

#: As NeMo's SentencePiece models have them: specials, pieces, single characters.
PIECES = (
    *("<unk>", "<|en|>", "▁the", "▁a", "▁on", "e", "t", "▁", "s", "ing", "▁stop", "▁go", "n"),
    *("o", "a", "."),
)
BLANK, PAD = "<blank>", "<pad>"

ENCODER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "subsampling_conv_channels": 8,
    "num_mel_bins": 16,
    "conv_kernel_size": 5,
}


def randomised(model: Any, seed: int = 0) -> Any:
    """``model`` with parameters that all matter: norms that are no identity, biases not 0."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.uniform_(low, high, generator=generator)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                uniform(parameter, 0.5, 1.5)
            elif parameter.ndim < 2 or "bias" in name:
                uniform(parameter, -0.5, 0.5)
            else:
                spread = parameter[0].numel() ** -0.5
                parameter.normal_(0.0, spread, generator=generator)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                uniform(module.running_mean, -0.3, 0.3)
                uniform(module.running_var, 0.1, 0.5)
    return model.eval()


def tiny(architecture: str, encoder: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """A model of the architecture, such as ``ParakeetForTDT``, with the tokens of :func:`save`.

    Args:
        encoder: settings of its encoder.
    """
    kind = getattr(transformers, architecture)
    if architecture == "ParakeetForCTC":
        tokens = {"vocab_size": len(PIECES) + 1, "pad_token_id": len(PIECES)}
    else:
        tokens = {
            "vocab_size": len(PIECES) + 2,
            "blank_token_id": len(PIECES) + 1,
            "pad_token_id": len(PIECES),
            "decoder_hidden_size": 24,
            "num_decoder_layers": 2,
        }
    parts = {**ENCODER, **(encoder or {})}
    config = kind.config_class(encoder_config=parts, **{**tokens, **settings})
    model = randomised(kind(config), seed=1)
    if "blank_token_id" in tokens:
        # As conversions of published models have it.
        model.generation_config.decoder_start_token_id = config.blank_token_id
        durations = range(
            config.vocab_size, config.vocab_size + len(getattr(config, "durations", ()))
        )
        model.generation_config.suppress_tokens = [*durations]
        with torch.no_grad():
            # So that a text ends, and follows from what is heard.
            model.joint.head.bias[config.blank_token_id] += 1.2
            model.encoder_projector.weight *= 2.0
            model.encoder_projector.bias.zero_()
            # transformers lets a frame of a TDT add labels of no duration without end.
            model.joint.head.bias[config.vocab_size : config.vocab_size + 1] -= 2.0
    return model


def save(folder: Path, model: Any) -> Path:
    """The folder with all that such a model has on the hub."""
    model.save_pretrained(folder)
    processor_of(model).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# A model\n")
    return folder


def processor_of(model: Any) -> Any:
    """Front end and tokens of a tiny model."""
    numbers = {piece: number for number, piece in enumerate(PIECES)}
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<|en|>", PAD])
    if "CTC" not in type(model).__name__:
        tokenizer.add_special_tokens([BLANK])
    fast = ParakeetTokenizer(tokenizer_object=tokenizer, pad_token=PAD, unk_token="<unk>")
    bands = model.config.encoder_config.num_mel_bins
    return ParakeetProcessor(ParakeetFeatureExtractor(feature_size=bands), fast)


def said_by_transformers(model: Any, clip: Any) -> str:
    """The greedy text of a waveform, as ``transformers`` documents it.

    Of a clip alone: in a batch, it goes on writing behind the end of a clip that is shorter than
    another one.
    """
    processor = processor_of(model)
    inputs = processor(clip, sampling_rate=16_000)
    with torch.no_grad():
        if "CTC" in type(model).__name__:
            found = model.generate(**inputs)
        else:
            # By itself it would leave room for one token less than the frames may add.
            found = model.generate(**inputs, max_new_tokens=2_000)
    sequences = getattr(found, "sequences", found)
    text: str = processor.batch_decode(sequences, skip_special_tokens=True)[0]
    return text.strip()


def noise(*seconds: float, seed: int = 0) -> list[Any]:
    """Waveforms whose spectrum changes every 0.2 s, so that more than one label is written."""
    generator = np.random.default_rng(seed)
    clips = []
    for length in seconds:
        time = np.arange(round(16_000 * length)) / 16_000
        pitch = np.repeat(generator.uniform(100, 4_000, len(time) // 3_200 + 1), 3_200)
        tone = np.sin(2 * np.pi * pitch[: len(time)] * time)
        clips.append((0.1 * tone + 0.01 * generator.standard_normal(len(time))).astype(np.float32))
    return clips

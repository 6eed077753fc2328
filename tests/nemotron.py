"""A tiny Nemotron streaming of transformers with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from transformers import NemotronAsrStreamingFeatureExtractor

from tests import parakeet

#: Steps that are seen behind one, and before it.
AHEAD, BEFORE = 2, 7


def tiny() -> Any:
    """A model whose left context holds two whole chunks."""
    return parakeet.tiny(
        "NemotronAsrStreamingForRNNT",
        {"sliding_window": BEFORE + 1, "default_num_lookahead_tokens": AHEAD},
    )


def save(folder: Path, model: Any) -> Path:
    """The folder with all that such a model has on the hub."""
    parakeet.save(folder, model)
    extractor: Any = _extractor(model)
    extractor.save_pretrained(folder)
    config = folder / "processor_config.json"
    known = json.loads(config.read_text()) if config.is_file() else {}
    known.pop("feature_extractor", None)
    known["supported_num_lookahead_tokens"] = [AHEAD, 0]
    config.write_text(json.dumps(known))
    return folder


def said_by_transformers(model: Any, clip: Any, ahead: int = AHEAD) -> str:
    """The greedy text of a waveform of 16 kHz, of the whole clip at once."""
    extractor: Any = _extractor(model)
    inputs = extractor(clip, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad():
        found = model.generate(**inputs, num_lookahead_tokens=ahead)
    tokenizer = parakeet.processor_of(model).tokenizer
    text: str = tokenizer.decode(found.sequences[0], skip_special_tokens=True, group_tokens=False)
    return text.strip()


def _extractor(model: Any) -> Any:
    bands = model.config.encoder_config.num_mel_bins
    return NemotronAsrStreamingFeatureExtractor(feature_size=bands)

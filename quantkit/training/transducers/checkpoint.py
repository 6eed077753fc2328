"""Transducers as folders in the format of ``transformers``, with an additional card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save as to_safetensors
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import ParakeetFeatureExtractor, ParakeetProcessor, ParakeetTokenizer

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.disk.files import read_json, write_json
from quantkit.disk.replacing import replaced_together
from quantkit.errors import CheckpointError, FormatError
from quantkit.models.checkpoint import stored_tensors
from quantkit.models.transducers import load_transducer
from quantkit.text.labels import Labels

SCHEMA = "quantkit.transducer/1"
CARD_NAME = "card.json"
_CONFIG_NAME, _WEIGHTS_NAME = "config.json", "model.safetensors"
# SentencePiece's sign for a space, which published tokenizers have.
_SPACE = "▁"


class SavedTransducer(NamedTuple):
    """A model in evaluation mode and float32, with its labels, front end and card.

    Args:
        model: a ``ParakeetForRNNT`` or ``ParakeetForTDT``.
        card: name, licence, recipe, results.
    """

    model: Any
    labels: Labels
    frontend: NemoFrontend
    card: dict[str, Any]


def is_saved_transducer(folder: Path) -> bool:
    """Whether :func:`save_trained_transducer` has written something into ``folder``."""
    try:
        read_json(folder / CARD_NAME, SCHEMA)
    except FormatError:
        return False
    return True


def save_trained_transducer(
    folder: Path,
    model: Any,
    labels: Labels,
    frontend: NemoFrontend,
    card: Mapping[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; its files replace earlier ones together.

    Args:
        labels: single characters, and a blank.
        card: name, licence, recipe, results.
        dtype: storage of the weights, ``torch.float32`` or ``torch.float16``; they are loaded as
            float32.

    Raises:
        InputError: a weight is beyond the range of ``dtype``.
        OutputError: the folder cannot be written.
    """
    tensors = stored_tensors(model.state_dict(), dtype)
    config = json.loads(model.config.to_json_string())
    # The dtype of computation, not of storage: transformers would otherwise compute in float16.
    config["dtype"] = "float32"
    with replaced_together(folder / CARD_NAME) as new:
        _processor(labels, frontend).save_pretrained(new)
        model.generation_config.save_pretrained(new)
        (new / _WEIGHTS_NAME).write_bytes(to_safetensors(tensors, {"format": "pt"}))
        write_json(new / _CONFIG_NAME, config)
        write_json(new / CARD_NAME, {"schema": SCHEMA, **card})


def load_trained_transducer(folder: Path) -> SavedTransducer:
    """Load what :func:`save_trained_transducer` wrote.

    Raises:
        CheckpointError: no such folder, of another architecture, damaged, or incomplete.
    """
    try:
        card = read_json(folder / CARD_NAME, SCHEMA)
    except FormatError as error:
        raise CheckpointError(f"{folder} is no transducer that was trained here: {error}") from None
    found = load_transducer(folder)
    del card["schema"]
    return SavedTransducer(found.model, found.labels, found.frontend, card)


def _processor(labels: Labels, frontend: NemoFrontend) -> ParakeetProcessor:
    """Front end and characters, as processors of published models have them."""
    tokens = [_SPACE if token == " " else token for token in labels.tokens]
    blank = tokens[labels.blank]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, []))
    tokenizer.normalizer = normalizers.Replace(" ", _SPACE)
    tokenizer.decoder = decoders.Replace(_SPACE, " ")
    tokenizer.add_special_tokens([blank])
    extractor = ParakeetFeatureExtractor(
        feature_size=frontend.mel_bands,
        sampling_rate=frontend.sample_rate,
        hop_length=frontend.hop,
        n_fft=frontend.fft_size,
        win_length=frontend.window,
    )
    return ParakeetProcessor(
        extractor, ParakeetTokenizer(tokenizer_object=tokenizer, pad_token=blank), blank_token=blank
    )

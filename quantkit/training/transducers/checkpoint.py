"""Transducers as folders in the format of ``transformers``, with an additional card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import ParakeetFeatureExtractor, ParakeetProcessor, ParakeetTokenizer

from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.models.transducers import load_transducer
from quantkit.text.labels import Labels
from quantkit.training.saved_model import has_card, read_card, saved_model

SCHEMA = "quantkit.transducer/1"
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
    return has_card(folder, SCHEMA)


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
    with saved_model(folder, model, SCHEMA, card, dtype) as new:
        _processor(labels, frontend).save_pretrained(new)
        model.generation_config.save_pretrained(new)


def load_trained_transducer(folder: Path) -> SavedTransducer:
    """Load what :func:`save_trained_transducer` wrote.

    Raises:
        CheckpointError: no such folder, of another architecture, damaged, or incomplete.
    """
    card = read_card(folder, SCHEMA, "transducer of Parakeet's kind")
    found = load_transducer(folder)
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

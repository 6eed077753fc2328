"""wav2vec 2.0 models as folders in the format of ``transformers``, with an additional card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, Wav2Vec2FeatureExtractor

from quantkit.disk.files import write_json
from quantkit.models.pretrained import load_pretrained
from quantkit.models.pretrained_files import PREPROCESSOR_NAME
from quantkit.text.labels import Labels
from quantkit.training.saved_model import has_card, read_card, saved_model

SCHEMA = "quantkit.wav2vec2/1"
_VOCABULARY_NAME, _TOKENIZER_NAME = "vocab.json", "tokenizer_config.json"
# As published models name them.
_BLANK, _SPACE = "<pad>", "|"


class SavedWav2Vec2(NamedTuple):
    """A model in evaluation mode and float32, with its labels, sample rate and card.

    Args:
        model: a ``Wav2Vec2ForCTC``.
        sample_rate: of the waveforms that it takes, in Hz; they have mean 0 and variance 1.
        card: name, licence, recipe, results.
    """

    model: PreTrainedModel
    labels: Labels
    sample_rate: int
    card: dict[str, Any]


def is_saved_wav2vec2(folder: Path) -> bool:
    """Whether :func:`save_wav2vec2` has written something into ``folder``."""
    return has_card(folder, SCHEMA)


def save_wav2vec2(
    folder: Path,
    model: PreTrainedModel,
    labels: Labels,
    sample_rate: int,
    card: Mapping[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; its files replace earlier ones together.

    Args:
        labels: single characters, and a blank.
        sample_rate: of the waveforms that it takes, in Hz; they have mean 0 and variance 1.
        card: name, licence, recipe, results.
        dtype: storage of the weights, ``torch.float32`` or ``torch.float16``; they are loaded as
            float32.

    Raises:
        InputError: a weight is beyond the range of ``dtype``.
        OutputError: the folder cannot be written.
    """
    tokens = [_SPACE if token == " " else token for token in labels.tokens]
    tokens[labels.blank] = _BLANK
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=sample_rate, do_normalize=True, return_attention_mask=False
    )
    tokenizer = {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "pad_token": _BLANK,
        "word_delimiter_token": _SPACE,
        # It has none of these; the tokenizer would add them behind the outputs.
        "unk_token": _BLANK,
        "bos_token": None,
        "eos_token": None,
    }
    with saved_model(folder, model, SCHEMA, card, dtype) as new:
        write_json(new / PREPROCESSOR_NAME, extractor.to_dict())
        write_json(new / _VOCABULARY_NAME, {token: i for i, token in enumerate(tokens)})
        write_json(new / _TOKENIZER_NAME, tokenizer)


def load_wav2vec2(folder: Path) -> SavedWav2Vec2:
    """Load what :func:`save_wav2vec2` wrote.

    Raises:
        CheckpointError: no such folder, of another architecture, damaged, or incomplete.
    """
    card = read_card(folder, SCHEMA, "wav2vec 2.0")
    found = load_pretrained(folder)
    assert found.labels is not None
    return SavedWav2Vec2(found.model, found.labels, found.frontend.sample_rate, card)

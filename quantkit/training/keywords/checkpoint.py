"""Keyword spotters as folders in the format of ``transformers``, with an additional card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from transformers import Wav2Vec2ConformerForSequenceClassification, Wav2Vec2FeatureExtractor

from quantkit.disk.files import write_json
from quantkit.errors import CheckpointError
from quantkit.models.checkpoint import WEIGHTS_NAME
from quantkit.models.pretrained_files import CONFIG_NAME, PREPROCESSOR_NAME
from quantkit.training.saved_model import CARD_NAME, has_card, read_card, saved_model

SCHEMA = "quantkit.keyword-spotter/1"


class Spotter(NamedTuple):
    """A model in evaluation mode and float32, with its classes, sample rate and card.

    Args:
        classes: in the order of the model's outputs.
        sample_rate: of the waveforms that it takes, in Hz; they have mean 0 and variance 1.
        card: name, licence, recipe, results.
    """

    model: Wav2Vec2ConformerForSequenceClassification
    classes: tuple[str, ...]
    sample_rate: int
    card: dict[str, Any]


def is_spotter(folder: Path) -> bool:
    """Whether :func:`save_spotter` has written something into ``folder``."""
    return has_card(folder, SCHEMA)


def save_spotter(
    folder: Path,
    model: Wav2Vec2ConformerForSequenceClassification,
    sample_rate: int,
    card: Mapping[str, Any],
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; its files replace earlier ones together.

    Args:
        card: name, licence, recipe, results.
        dtype: storage of the weights, ``torch.float32`` or ``torch.float16``; they are loaded as
            float32.

    Raises:
        InputError: a weight is beyond the range of ``dtype``.
        OutputError: the folder cannot be written.
    """
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=sample_rate, do_normalize=True, return_attention_mask=False
    )
    with saved_model(folder, model, SCHEMA, card, dtype) as new:
        write_json(new / PREPROCESSOR_NAME, extractor.to_dict())


def load_spotter(folder: Path) -> Spotter:
    """Load what :func:`save_spotter` wrote.

    Raises:
        CheckpointError: no such folder, of another architecture, damaged, or incomplete.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME, PREPROCESSOR_NAME, CARD_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a keyword spotter: {folder / name} is missing")
    card = read_card(folder, SCHEMA, "keyword spotter")
    try:
        loaded = Wav2Vec2ConformerForSequenceClassification.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
        )
        extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder, local_files_only=True)
    # transformers and safetensors raise errors of any kind for foreign or damaged files.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise CheckpointError(f"{folder} cannot be loaded: {reason}") from error
    model, report = cast(tuple[Wav2Vec2ConformerForSequenceClassification, dict[str, Any]], loaded)
    # transformers only warns about these, and uses random weights for missing ones.
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if found := sorted(map(str, report[kind])):
            raise CheckpointError(f"{folder} has {kind.replace('_', ' ')}: {found[0]}")
    model.eval()
    names = cast(dict[int, str], model.config.id2label)
    classes = tuple(names[i] for i in range(len(names)))
    return Spotter(model, classes, extractor.sampling_rate, card)

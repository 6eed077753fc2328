"""Keyword spotters as folders in the format of ``transformers``, with an additional card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save as to_safetensors
from transformers import Wav2Vec2ConformerForSequenceClassification, Wav2Vec2FeatureExtractor

from quantkit.disk.files import read_json, write_json
from quantkit.disk.replacing import replaced_together
from quantkit.errors import CheckpointError, FormatError
from quantkit.models.checkpoint import stored_tensors

SCHEMA = "quantkit.keyword-spotter/1"
CARD_NAME = "card.json"
CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
PREPROCESSOR_NAME = "preprocessor_config.json"


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
    return (folder / CARD_NAME).is_file()


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
    tensors = stored_tensors(model.state_dict(), dtype)
    config = json.loads(model.config.to_json_string())
    # The dtype of computation, not of storage: transformers would otherwise compute in float16.
    config["dtype"] = "float32"
    extractor = Wav2Vec2FeatureExtractor(
        sampling_rate=sample_rate, do_normalize=True, return_attention_mask=False
    )
    with replaced_together(folder / CARD_NAME) as new:
        (new / WEIGHTS_NAME).write_bytes(to_safetensors(tensors, {"format": "pt"}))
        write_json(new / CONFIG_NAME, config)
        write_json(new / PREPROCESSOR_NAME, extractor.to_dict())
        write_json(new / CARD_NAME, {"schema": SCHEMA, **card})


def load_spotter(folder: Path) -> Spotter:
    """Load what :func:`save_spotter` wrote.

    Raises:
        CheckpointError: no such folder, of another architecture, damaged, or incomplete.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME, PREPROCESSOR_NAME, CARD_NAME):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} is not a keyword spotter: {folder / name} is missing")
    try:
        card = read_json(folder / CARD_NAME, SCHEMA)
    except FormatError as error:
        raise CheckpointError(str(error)) from error
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
    del card["schema"]
    return Spotter(model, classes, extractor.sampling_rate, card)

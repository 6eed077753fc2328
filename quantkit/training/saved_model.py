"""What the folders of models that are trained here share: files of ``transformers``, and a card.

Of a Wav2Letter, :mod:`quantkit.models.checkpoint` has a format of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from quantkit.disk.files import read_json, write_json
from quantkit.disk.replacing import replaced_together
from quantkit.errors import CheckpointError, FormatError
from quantkit.models.checkpoint import WEIGHTS_NAME, stored_tensors
from quantkit.models.pretrained_files import CONFIG_NAME

#: Name, licence, recipe and results of a model.
CARD_NAME = "card.json"


def has_card(folder: Path, schema: str) -> bool:
    """Whether a folder has a card of that schema."""
    try:
        read_json(folder / CARD_NAME, schema)
    except FormatError:
        return False
    return True


def read_card(folder: Path, schema: str, kind: str) -> dict[str, Any]:
    """The card of a folder.

    Args:
        kind: what the folder holds, for people, such as ``transducer``.

    Raises:
        CheckpointError: it has none of that schema.
    """
    try:
        card = read_json(folder / CARD_NAME, schema)
    except FormatError as error:
        raise CheckpointError(f"{folder} is no {kind} that was trained here: {error}") from None
    del card["schema"]
    return card


@contextmanager
def saved_model(
    folder: Path, model: Any, schema: str, card: Mapping[str, Any], dtype: torch.dtype
) -> Iterator[Path]:
    """A folder for a checkpoint, whose files replace earlier ones together at the end.

    The block writes what is special to its kind of model; weights, settings and card are written
    here.

    Args:
        model: of ``transformers``.
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
        yield new
        (new / WEIGHTS_NAME).write_bytes(to_safetensors(tensors, {"format": "pt"}))
        write_json(new / CONFIG_NAME, config)
        write_json(new / CARD_NAME, {"schema": schema, **card})

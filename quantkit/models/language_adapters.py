"""Adapters of one language each, as MMS has them: ``adapter.<language>.safetensors``.

Pratap et al., "Scaling Speech Technology to 1,000+ Languages", 2023, section 5.1: small layers
behind each layer of the encoder, and an output layer with the letters of the language.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from quantkit.errors import CheckpointError
from quantkit.models.adapter_names import ADAPTER_ENDINGS, LANGUAGE, target_language
from quantkit.models.state_dicts import read_tensors
from quantkit.models.tensor_shapes import shapes_in

_HEAD = "lm_head.weight"


def adapter_of(folder: Path, language: str) -> Path | None:
    """The adapter for ``language``, or for the one that the tokenizer is set to.

    None where none is named, or where the model was saved with it.

    Raises:
        CheckpointError: the language that was asked for has none.
    """
    is_asked = bool(language)
    if not is_asked:
        language = target_language(folder)
    if language and LANGUAGE.fullmatch(language):
        for suffix in ADAPTER_ENDINGS:
            path = folder / f"adapter.{language}.{suffix}"
            if path.is_file():
                return path
    if not is_asked:
        return None
    known = sorted(path.name.split(".")[1] for path in folder.glob("adapter.*.*"))
    others = f"only for: {', '.join(known[:20])}" if known else "nor for any other"
    raise CheckpointError(f"{folder} has no adapter for the language {language!r:.40}, {others}")


def outputs_of(adapter: Path) -> int:
    """Outputs of the model with this adapter.

    Raises:
        CheckpointError: the adapter is damaged.
    """
    shape = shapes_in([adapter]).get(_HEAD, ())
    if len(shape) != 2:
        raise CheckpointError(f"{adapter} is no adapter of a language: it has no {_HEAD}")
    return shape[0]


def put_adapter(model: Any, adapter: Path) -> None:
    """Give ``model`` the layers of a language.

    Args:
        model: a ``Wav2Vec2ForCTC`` with ``adapter_attn_dim``; changed in place.

    Raises:
        CheckpointError: the adapter is damaged, or is another model's.
    """
    tensors = read_tensors(adapter)
    head = tensors.get(_HEAD, model.lm_head.weight)
    if head.ndim == 2 and len(head) != model.lm_head.out_features:
        # As many outputs as the language has letters.
        model.lm_head = nn.Linear(model.lm_head.in_features, len(head)).requires_grad_(False)
    places = {
        name: parameter
        for name, parameter in model.named_parameters()
        if ".adapter_layer." in name or name.startswith("lm_head.")
    }
    # Named after the model's base, or after what lies within.
    prefix = f"{model.base_model_prefix}."
    own = {name if name in places else f"{prefix}{name}": each for name, each in tensors.items()}
    for name in sorted(places.keys() | own.keys()):
        if name not in own or name not in places or own[name].shape != places[name].shape:
            raise CheckpointError(
                f"{adapter}: tensor {name} is not as the model has it: it is another model's"
            )
        if not torch.isfinite(own[name]).all():
            raise CheckpointError(f"{adapter}: tensor {name} has values that are not finite")
    with torch.no_grad():
        for name, place in places.items():
            place.copy_(own[name])

"""Wav2Letter checkpoints: a folder with ``config.json`` and ``model.safetensors``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from quantkit.audio.frontend import Frontend
from quantkit.disk.files import read_json, write_json
from quantkit.disk.reading import require_regular
from quantkit.disk.replacing import replaced_together
from quantkit.errors import CheckpointError, FormatError, InputError
from quantkit.models.archives import refuse_inflating
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels

SCHEMA = "quantkit.checkpoint/1"
ARCHITECTURE = "wav2letter"
WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"

# Far beyond any Wav2Letter, so that a mistyped size does not exhaust the memory.
LARGEST_SIZE = 1 << 16


class Checkpoint(NamedTuple):
    """A model in evaluation mode and float32, with its labels and front end.

    ``card`` contains the further entries of ``config.json``: name, licence, recipe, results.
    """

    model: Wav2Letter
    labels: Labels
    frontend: Frontend
    card: dict[str, Any]


def weights_path(source: Path) -> Path:
    """The weights file of a checkpoint folder, or ``source`` itself when it is a file."""
    return source / WEIGHTS_NAME if source.is_dir() else source


def load_wav2letter(source: Path) -> Checkpoint:
    """Load a Wav2Letter from a checkpoint folder, or from a ``.pt`` or ``.safetensors`` file.

    A bare file needs its ``config.json`` beside it. A ``.pt`` file is read with
    ``weights_only=True``, so that it cannot run code.

    Raises:
        CheckpointError: missing, truncated, of another architecture, or with tensors that do not
            fit the configuration.
    """
    weights = weights_path(source)
    if not weights.is_file():
        raise CheckpointError(f"{source} is not a checkpoint: {weights} is missing")
    config_path = weights.parent / CONFIG_NAME
    if not config_path.is_file():
        raise CheckpointError(f"{source} is not a checkpoint: {config_path} is missing")
    try:
        content = read_json(config_path, SCHEMA)
    except FormatError as error:
        raise CheckpointError(str(error)) from error
    config, labels, frontend, card = _parse(content, config_path)
    tensors = _read_tensors(weights)
    _check_fit(config, tensors, weights)
    try:
        model = Wav2Letter(config)
        # Values are cast to the model's own float32 while they are copied.
        model.load_state_dict(tensors)
    except (RuntimeError, ValueError, TypeError) as error:
        raise CheckpointError(f"{weights} cannot be loaded: {_first_line(error)}") from error
    return Checkpoint(model.eval(), labels, frontend, card)


def save_wav2letter(
    folder: Path,
    model: Wav2Letter,
    labels: Labels,
    frontend: Frontend,
    extra: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a checkpoint folder; each file replaces the old one only when it is complete.

    Args:
        extra: further entries of ``config.json`` (name, licence, recipe, results).
        dtype: storage of the weights, ``torch.float32`` or ``torch.float16``.

    Raises:
        InputError: labels or features do not fit the model, ``extra`` repeats a reserved entry,
            or a weight is beyond the range of ``dtype``.
        OutputError: the folder cannot be written.
    """
    if len(labels) != model.config.labels:
        raise InputError(f"{len(labels)} labels for a model with {model.config.labels} outputs")
    if frontend.mel_bands != model.config.features:
        raise InputError(
            f"a front end of {frontend.mel_bands} bands for a model of {model.config.features}"
        )
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "architecture": ARCHITECTURE,
        "config": asdict(model.config),
        "labels": json.loads(labels.to_json()),
        "frontend": json.loads(frontend.to_json()),
    }
    reserved = content.keys() & (extra or {}).keys()
    if reserved:
        raise InputError(f"extra may not replace the checkpoint's own {sorted(reserved)}")
    tensors = stored_tensors(model.state_dict(), dtype)
    with replaced_together(folder / CONFIG_NAME) as new:
        (new / WEIGHTS_NAME).write_bytes(to_safetensors(tensors, {"format": "pt"}))
        write_json(new / CONFIG_NAME, {**content, **(extra or {})})


def stored_tensors(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """A state in its stored form: on the CPU, contiguous, floating point in ``dtype``.

    Raises:
        InputError: a weight is beyond the range of ``dtype``.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        stored = tensor.detach().to("cpu")
        if stored.is_floating_point():
            stored = stored.to(dtype)
            if not torch.isfinite(stored).all():
                raise InputError(f"{name} has values that are not finite in {dtype}")
        tensors[name] = stored.contiguous()
    return tensors


def _parse(
    content: dict[str, Any], origin: Path
) -> tuple[Wav2LetterConfig, Labels, Frontend, dict[str, Any]]:
    card = dict(content)
    card.pop("schema")
    architecture = card.pop("architecture", None)
    if architecture != ARCHITECTURE:
        raise CheckpointError(
            f"{origin}: unknown architecture {architecture!r}; known: {ARCHITECTURE!r}"
        )
    known = {field.name for field in fields(Wav2LetterConfig)}
    try:
        settings = card.pop("config")
        unknown = settings.keys() - known
        if unknown:
            raise CheckpointError(f"{origin}: unknown setting {min(unknown)!r} in config")
        for name, value in settings.items():
            if problem := _problem_of(name, value):
                raise CheckpointError(f"{origin}: config.{name} {problem}, not {value!r}")
        config = Wav2LetterConfig(**settings)
        labels = Labels.from_json(json.dumps(card.pop("labels")))
        frontend = Frontend.from_json(json.dumps(card.pop("frontend")))
    except CheckpointError:
        raise
    except KeyError as error:
        raise CheckpointError(f"{origin}: {error.args[0]!r} is missing") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{origin}: {error}") from error
    if len(labels) != config.labels:
        raise CheckpointError(f"{origin}: {len(labels)} labels, but config.labels {config.labels}")
    if frontend.mel_bands != config.features:
        raise CheckpointError(
            f"{origin}: front end of {frontend.mel_bands} bands, but config.features "
            f"{config.features}"
        )
    return config, labels, frontend, card


def _problem_of(name: str, value: object) -> str:
    """The error in one setting of ``config``; empty if there is none."""
    kind = type(getattr(Wav2LetterConfig, name))
    # bool is a subclass of int, and 8.0 equals 8: both would pass a looser test and fail in torch.
    if kind is bool:
        return "" if type(value) is bool else "must be true or false"
    if kind is int:
        fits = type(value) is int and 1 <= value <= LARGEST_SIZE
        return "" if fits else f"must be a whole number from 1 to {LARGEST_SIZE}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "must be a number"
    # A comparison with NaN is false, so NaN does not pass either.
    return "" if 0 <= value < 1 else "must be at least 0 and below 1"


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def _read_tensors(weights: Path) -> dict[str, Tensor]:
    try:
        require_regular(weights)
        if weights.suffix == ".safetensors":
            return load_file(weights)
        refuse_inflating(weights)
        content = torch.load(weights, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read {weights}: {error.strerror or error}") from error
    except CheckpointError:
        raise
    # Damaged bytes raise errors of any kind in torch's unpickler: KeyError, IndexError, ….
    except Exception as error:
        raise CheckpointError(f"{weights} is damaged or truncated: {_first_line(error)}") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) and tensor.layout == torch.strided
        for name, tensor in content.items()
    ):
        raise CheckpointError(f"{weights} is not a state_dict; save `model.state_dict()`")
    return dict(content)


def _check_fit(config: Wav2LetterConfig, tensors: Mapping[str, Tensor], origin: Path) -> None:
    # On the meta device a model has shapes but no memory, so a wrong size costs nothing.
    with torch.device("meta"):
        wanted = Wav2Letter(config).state_dict()
    for name, tensor in wanted.items():
        if name not in tensors:
            raise CheckpointError(f"{origin}: tensor {name} is missing")
        if tensors[name].shape != tensor.shape:
            raise CheckpointError(
                f"{origin}: tensor {name} has shape {tuple(tensors[name].shape)}, but the "
                f"configuration requires {tuple(tensor.shape)}"
            )
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{origin}: tensor {name} has values that are not finite")
    unknown = sorted(tensors.keys() - wanted.keys())
    if unknown:
        raise CheckpointError(f"{origin}: unknown tensor {unknown[0]}")

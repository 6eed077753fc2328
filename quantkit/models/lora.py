"""LoRA adapters that PEFT saved, merged into the weights that they were trained for.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2022: a matrix becomes
W + s · B A, with s = alpha / r, or alpha / √r for rank-stabilised ones (Kalajdzievski, 2023).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from quantkit.errors import CheckpointError
from quantkit.models.hub_cache import snapshot_in
from quantkit.models.pretrained_files import (
    ADAPTER_CONFIG_NAME,
    ADAPTER_WEIGHTS,
    digest_of,
    has_weights,
    read_json_object,
)
from quantkit.models.state_dicts import read_tensors

_PREFIX = "base_model.model."
_LOW_RANK = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.[^.]+)?(?:\.weight)?")
_NAME = re.compile(r"[\w.]+")
# Parts that were trained as a whole, or lie below an adapter.
_WRAPPERS = (".base_layer", ".modules_to_save")
# What such a part was before.
_BEFORE = ".original_module."
# Settings whose weights are no plain sum.
_OTHERS = ("use_dora", "layer_replication", "use_qalora", "arrow_config", "alora_invocation_tokens")
# Ways to begin that change the base weights, too.
_CHANGES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")
_MERGE = (
    "merge it with PEFT: PeftModel.from_pretrained(base, folder).merge_and_unload()"
    ".save_pretrained(new)"
)


def base_of(adapter: Path) -> Path:
    """The folder of the model that an adapter was trained for; nothing is downloaded.

    Raises:
        CheckpointError: it is not on this machine, or the adapter names none.
    """
    config = read_json_object(adapter / ADAPTER_CONFIG_NAME)
    name = config.get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise CheckpointError(
            f"{adapter} is a {_kind(config)} adapter that does not name the model that it was "
            f"trained for: {_MERGE}"
        )
    # Beside the adapter first: what the working folder holds is chance.
    for folder in (adapter / name, Path(name)):
        if folder.is_dir():
            return snapshot_in(folder)
    if (cached := _cached(name)) is not None:
        return cached
    raise CheckpointError(
        f"{adapter} is a {_kind(config)} adapter for {name!r:.100}, which is not on this machine: "
        f"export {name!r:.100} once or download it, or {_MERGE}"
    )


def merge_adapter(model: nn.Module, adapter: Path, digest: str) -> str:
    """Add what an adapter has learnt to the weights of ``model``.

    Args:
        model: of ``transformers``, in float32; changed in place.
        digest: SHA-256 of its weights.

    Returns:
        SHA-256 of the SHA-256s, in hexadecimal, of both.

    Raises:
        CheckpointError: the adapter is damaged, of another method, or of another model.
    """
    config = read_json_object(adapter / ADAPTER_CONFIG_NAME)
    _require_plain(config, adapter)
    path = _weights(adapter)
    parameters = dict(model.named_parameters())
    factors: dict[str, dict[str, Tensor]] = {}
    with torch.no_grad():
        for name, tensor in read_tensors(path).items():
            name = name.removeprefix(_PREFIX)
            if match := _LOW_RANK.fullmatch(name):
                module, is_embedding, factor = match.groups()
                key = f"{factor} of an embedding" if is_embedding else factor
                factors.setdefault(_plain(module), {})[key] = tensor.to(torch.float32)
            elif _BEFORE not in name:
                _put(parameters, _plain(name), tensor, path)
        for module, pair in factors.items():
            weight = parameters.get(f"{module}.weight")
            if weight is None:
                raise CheckpointError(f"{path}: the model has no {module}: it is another model's")
            change = _product(pair, weight, module, path) * _scale(config, module, pair, adapter)
            weight.add_(change.T if config.get("fan_in_fan_out") is True else change)
            if not torch.isfinite(weight).all():
                raise CheckpointError(f"{path}: {module} has values that are not finite")
    return hashlib.sha256(f"{digest}{digest_of([path])}".encode()).hexdigest()


def _kind(config: Mapping[str, Any]) -> str:
    kind = config.get("peft_type")
    return "LoRA" if kind == "LORA" else str(kind)[:20]


def _cached(name: str) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
    # What is no name, or is not in the cache, raises errors of many kinds.
    except (OSError, ValueError):
        return None
    return folder if has_weights(folder) else None


def _require_plain(config: Mapping[str, Any], adapter: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise CheckpointError(f"{adapter} is a {_kind(config)} adapter, not LoRA: {_MERGE}")
    odd = next((key for key in _OTHERS if config.get(key)), "")
    start = config.get("init_lora_weights")
    if not odd and isinstance(start, str) and start.lower().startswith(_CHANGES_BASE):
        odd = f"init_lora_weights {start:.20}"
    patterns = config.get("alpha_pattern") or {}
    # PEFT takes them for regular expressions; most are names.
    if not all(_NAME.fullmatch(name) for name in patterns):
        odd = "patterns in alpha_pattern"
    if odd:
        raise CheckpointError(f"{adapter} is a LoRA adapter with {odd}: {_MERGE}")


def _weights(adapter: Path) -> Path:
    for name in ADAPTER_WEIGHTS:
        if (adapter / name).is_file():
            return adapter / name
    raise CheckpointError(
        f"{adapter} has no weights: neither {' nor '.join(ADAPTER_WEIGHTS)} is there"
    )


def _plain(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _put(parameters: Mapping[str, Tensor], name: str, tensor: Tensor, path: Path) -> None:
    """A tensor that was trained as a whole takes the place of the model's."""
    place = parameters.get(name)
    if place is None or place.shape != tensor.shape:
        raise CheckpointError(
            f"{path}: {name} {tuple(tensor.shape)} is no tensor of the model: {_MERGE}"
        )
    place.copy_(tensor)


def _product(pair: Mapping[str, Tensor], weight: Tensor, module: str, path: Path) -> Tensor:
    if pair.keys() == {"A", "B"}:
        # Of convolutions, only the first has the taps.
        first, second = pair["A"].flatten(1), pair["B"].flatten(1)
    elif pair.keys() == {"A of an embedding", "B of an embedding"}:
        first, second = pair["B of an embedding"].T, pair["A of an embedding"].T
    else:
        raise CheckpointError(f"{path}: {module} has only one of its two matrices")
    if second.shape[1:] != first.shape[:1] or len(second) * first.shape[1] != weight.numel():
        raise CheckpointError(
            f"{path}: the matrices of {module}, {tuple(second.shape)} and {tuple(first.shape)}, "
            f"do not make its weight of {tuple(weight.shape)}: it is another model's"
        )
    product = second @ first
    return product.reshape(weight.shape) if weight.ndim > 2 else product


def _scale(
    config: Mapping[str, Any], module: str, pair: Mapping[str, Tensor], adapter: Path
) -> float:
    rank = len(pair["A"] if "A" in pair else pair["A of an embedding"])
    alpha = _of_module(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise CheckpointError(
            f"{adapter / ADAPTER_CONFIG_NAME}: lora_alpha must be a number, not {alpha!r:.40}"
        )
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") is True else rank)


def _of_module(patterns: object, module: str, default: object) -> object:
    """The entry for the end of a module's name."""
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        if module == pattern or module.endswith(f".{pattern}"):
            return value
    return default

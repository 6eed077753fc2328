"""The recipe of a keyword spotter: a TOML file with ``task = "classification"``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantkit.errors import InputError
from quantkit.json_dataclass import build, build_list
from quantkit.json_fields import Range
from quantkit.tasks.names import CLASSIFICATION
from quantkit.training.recipe import (
    DECIBELS,
    RANGES,
    OptimizerSettings,
    Precision,
    Source,
    check_noise,
    check_sources,
    read_recipe,
)


@dataclass(frozen=True)
class ModelSettings:
    """Size of the model, in the names of ``transformers.Wav2Vec2ConformerConfig``.

    Args:
        conv_dim, conv_kernel, conv_stride: channels, kernel and stride of every convolution of
            the feature encoder, in frames of the layer below.
        hidden_size: a multiple of 16 and of ``num_attention_heads``.
        conv_depthwise_kernel_size: in frames; odd.
        hidden_dropout: of the outputs of feed-forward modules.
        layerdrop: share of the Conformer layers that a training step skips (Fan et al. 2019).
    """

    conv_dim: tuple[int, ...] = (96, 96, 128, 128)
    conv_kernel: tuple[int, ...] = (160, 8, 4, 4)
    conv_stride: tuple[int, ...] = (20, 4, 2, 2)
    hidden_size: int = 144
    num_hidden_layers: int = 5
    num_attention_heads: int = 4
    intermediate_size: int = 432
    conv_depthwise_kernel_size: int = 15
    hidden_dropout: float = 0.1
    layerdrop: float = 0.05


@dataclass(frozen=True)
class AugmentSettings:
    """Augmentation of training clips; validation uses unchanged clips.

    Args:
        speed: largest relative change of speed and pitch, 0.15 meaning 0.85–1.15.
        shift_seconds: largest shift of a clip in either direction.
        noise_probability: share of clips that get noise, half of it clips of the recipe's
            ``background``, half coloured between white and pink.
        loudest_noise, quietest_noise: signal-to-noise ratios in dB between which it lies.
        equalizer: largest gain or loss of a part of the spectrum, in dB.
        time_masks, time_width: number of silenced intervals and their greatest length in seconds.
        frequency_masks, frequency_width: number of silenced frequency bands and their greatest
            width in mel.
        mixup_probability, mixup_alpha: share of the batches whose clips are mixed in pairs, and
            the parameter of the Beta distribution of the shares (Zhang et al. 2018).
    """

    speed: float = 0.15
    shift_seconds: float = 0.1
    noise_probability: float = 0.6
    loudest_noise: float = 0.0
    quietest_noise: float = 35.0
    equalizer: float = 6.0
    time_masks: int = 1
    time_width: float = 0.12
    frequency_masks: int = 1
    frequency_width: float = 400.0
    mixup_probability: float = 0.5
    mixup_alpha: float = 0.3


@dataclass(frozen=True)
class KeywordRecipe:
    """All settings of one training run.

    Args:
        background: the class of clips without speech; they also serve as noise.
        clip_seconds: length to which clips are padded or cut, around their middle.
        steps: optimizer steps.
        average_decay: of the moving average of the weights that is validated and kept.
        label_smoothing: share of the target that is spread over all classes.
        precision: ``auto`` uses bfloat16 if the hardware supports it.
    """

    sources: tuple[Source, ...]
    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    augment: AugmentSettings = AugmentSettings()
    background: str = "silence"
    clip_seconds: float = 1.0
    steps: int = 8_000
    batch_clips: int = 32
    validate_every: int = 500
    average_decay: float = 0.998
    label_smoothing: float = 0.05
    precision: Precision = "auto"
    seed: int = 0


_COUNT = Range(0, 1_000)
_SIZE = Range(1, 1 << 16)
_SHARE = Range(0, 1)

_RANGES: dict[type, dict[str, Range]] = {
    ModelSettings: {
        "conv_dim": _SIZE,
        "conv_kernel": _SIZE,
        "conv_stride": _SIZE,
        "hidden_size": _SIZE,
        "num_hidden_layers": Range(1, 1_000),
        "num_attention_heads": _SIZE,
        "intermediate_size": _SIZE,
        "conv_depthwise_kernel_size": _SIZE,
        "hidden_dropout": Range(0, 1, below=True),
        "layerdrop": Range(0, 1, below=True),
    },
    AugmentSettings: {
        "speed": Range(0, 1, below=True),
        "shift_seconds": Range(0, 60),
        "noise_probability": _SHARE,
        "loudest_noise": DECIBELS,
        "quietest_noise": DECIBELS,
        "equalizer": Range(0, 100),
        "time_masks": _COUNT,
        "time_width": Range(0, 60),
        "frequency_masks": _COUNT,
        "frequency_width": Range(0, 10_000),
        "mixup_probability": _SHARE,
        "mixup_alpha": Range(0, 1_000, above=True),
    },
    KeywordRecipe: {
        "clip_seconds": Range(0, 60, above=True),
        "steps": Range(1, 1_000_000_000),
        "batch_clips": Range(1, 1_000_000),
        "validate_every": Range(1, 1_000_000_000),
        "average_decay": Range(0, 1, below=True),
        "label_smoothing": Range(0, 1, below=True),
        "seed": Range(0, 2**32 - 1),
    },
}


def load_keyword_recipe(path: Path) -> KeywordRecipe:
    """Read a recipe for classification from TOML.

    Raises:
        InputError: unreadable file, another task, unknown setting, or a value of wrong type or
            out of range.
    """
    where = str(path)
    parts = read_recipe(path, CLASSIFICATION)
    tables: dict[str, Any] = {
        "model": build(
            ModelSettings, parts.pop("model", {}), f"{where}, [model]", _RANGES[ModelSettings]
        ),
        "optimizer": build(
            OptimizerSettings,
            parts.pop("optimizer", {}),
            f"{where}, [optimizer]",
            RANGES[OptimizerSettings],
        ),
        "augment": build(
            AugmentSettings,
            parts.pop("augment", {}),
            f"{where}, [augment]",
            _RANGES[AugmentSettings],
        ),
    }
    sources = build_list(Source, parts.pop("source", []), "source", where, RANGES[Source])
    if "sources" in parts:
        raise InputError(f"{where}: unknown setting sources")
    recipe = build(
        KeywordRecipe, {**parts, **tables, "sources": sources}, where, _RANGES[KeywordRecipe]
    )
    _check(recipe, where)
    return recipe


def _check(recipe: KeywordRecipe, where: str) -> None:
    """Checks across several tables."""
    if not recipe.sources:
        raise InputError(f"{where}: a recipe needs at least one [[source]]")
    check_sources(recipe.sources, where)
    if any(source.join != 1 for source in recipe.sources):
        raise InputError(f"{where}: clips for classification cannot be joined")
    if recipe.optimizer.schedule == "plateau":
        raise InputError(f"{where}, [optimizer]: schedule must be one-cycle or constant")
    model = recipe.model
    if not len(model.conv_dim) == len(model.conv_kernel) == len(model.conv_stride) > 0:
        raise InputError(
            f"{where}, [model]: conv_dim, conv_kernel and conv_stride must be lists of one length"
        )
    if model.hidden_size % 16 or model.hidden_size % model.num_attention_heads:
        raise InputError(
            f"{where}, [model]: hidden_size must be a multiple of 16 and of num_attention_heads"
        )
    if model.conv_depthwise_kernel_size % 2 == 0:
        raise InputError(f"{where}, [model]: conv_depthwise_kernel_size must be odd")
    check_noise(recipe.augment.loudest_noise, recipe.augment.quietest_noise, where)
